"""The client's pure parts: server choice, line splitting, own writes, configuration."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.core.configmap import ConfigMap
from master.api.core.pod import Pod
from master.api.meta import ObjectMeta
from master.api.status import InternalError, NotFound, ServiceUnavailable
from master.client.backoff import Backoff
from master.client.config import ClientConfig
from master.client.consistency import OwnWrites
from master.client.errors import status_error
from master.client.servers import SUSPECT_MAX_S, ServerRing
from master.client.watch import LineSplitter


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.floats(0, 20)), max_size=30))
def test_every_server_is_always_a_candidate_and_suspects_come_last(history: list[tuple[int, bool, float]]) -> None:
    ring = ServerRing(["https://a", "https://b/", "https://c"])
    now = 0.0
    for index, works, pause in history:
        now += pause
        if works:
            ring.worked(index)
            assert ring.candidates(now)[0] == index
        else:
            ring.failed(index, now)
        order = ring.candidates(now)
        assert sorted(order) == [0, 1, 2]
        suspicion = [ring.is_suspect(each, now) for each in order]
        assert suspicion == sorted(suspicion)
    assert not any(ring.is_suspect(index, now + SUSPECT_MAX_S) for index in range(3))


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and line.strip())), st.randoms())
def test_lines_come_out_whole_however_they_are_cut(lines: list[bytes], rng: random.Random) -> None:
    data = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    found: list[bytes] = []
    while data:
        size = rng.randint(1, 7)
        found.extend(splitter.feed(data[:size]))
        data = data[size:]
    assert found == lines


def test_an_endless_line_is_refused() -> None:
    splitter = LineSplitter(max_bytes=10)
    with pytest.raises(ValueError, match="longer than 10"):
        list(splitter.feed(b"x" * 11))


class Reached:
    def __init__(self, kind: type, version: int) -> None:
        self.kind = kind
        self.resource_version = str(version)


def test_a_key_waits_until_every_informer_has_seen_its_own_writes() -> None:
    pods, maps = Reached(Pod, 5), Reached(ConfigMap, 5)
    writes = OwnWrites(pods, maps)
    writes.note("a", Pod(metadata=ObjectMeta(resource_version="10")))
    writes.note("a", Pod(metadata=ObjectMeta(resource_version="7")))
    writes.note("a", ConfigMap(metadata=ObjectMeta(resource_version="5")))
    assert not writes.seen("a")
    assert writes.seen("b")
    pods.resource_version = "9"
    assert not writes.seen("a")
    pods.resource_version = "10"
    assert writes.seen("a")


def test_errors_are_typed_by_their_status_or_by_their_code() -> None:
    body = b'{"kind":"Status","reason":"NotFound","message":"pods \\"x\\" not found","code":404}'
    assert isinstance(status_error(404, body), NotFound)
    assert isinstance(status_error(503, b"no healthy upstream"), ServiceUnavailable)
    assert isinstance(status_error(500, b""), InternalError)
    assert "no healthy" in str(status_error(503, b"no healthy upstream"))


def test_pauses_grow_within_bounds_and_start_again_after_a_success() -> None:
    backoff = Backoff(0.1, 2.0, rng=random.Random(1))
    pauses = [backoff.next_s() for _ in range(50)]
    assert all(pause <= 2.0 for pause in pauses)
    assert max(pauses[:2]) < max(pauses)
    backoff.reset()
    assert backoff.next_s() <= 0.1


def test_plain_servers_need_no_certificates_and_an_empty_list_is_refused() -> None:
    assert ClientConfig(servers=["http://127.0.0.1:1"]).ssl_context() is None
    with pytest.raises(ValueError, match="at least one server"):
        ServerRing([])
