"""Probes: thresholds, real HTTP, TCP and gRPC servers on loopback, and the framing of streams."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from master.api.core.container import Container, Probe
from master.api.core.pod import Pod
from node.engine.base import ContainerState
from node.grpchealth import DATA, END_STREAM, SETTINGS, frame
from node.podview import Refused, strip_pod
from node.probes import ProbeTable, Threshold
from node.probing import ProbeOutcome, port_number, run_probe
from node.query import flag
from node.server import log_options, may_enter
from node.streams import Resize, StdinClosed, StdinData, exit_status, parse_message

LOOPBACK = "127.0.0.1"


def probe(**tree: Any) -> Probe:
    return msgspec.convert(tree, Probe)


def test_a_verdict_changes_only_after_enough_equal_results() -> None:
    threshold = Threshold(probe(failureThreshold=3, successThreshold=2), verdict=True)
    assert [threshold.feed(False) for _ in range(3)] == [True, True, False]
    assert [threshold.feed(ok) for ok in (True, False, True, True)] == [False, False, False, True]


@given(st.lists(st.booleans(), max_size=50), st.integers(1, 5), st.integers(1, 5))
def test_the_verdict_follows_the_last_long_enough_row(results: list[bool], successes: int, failures: int) -> None:
    threshold = Threshold(probe(failureThreshold=failures, successThreshold=successes), verdict=False)
    expected, row = False, 0
    for index, ok in enumerate(results):
        row = row + 1 if index and results[index - 1] is ok else 1
        if row >= (successes if ok else failures):
            expected = ok
        assert threshold.feed(ok) is expected


def with_server(serve: Callable[[], Awaitable[tuple[int, Callable[[], Awaitable[None]]]]], test: Any) -> None:
    async def main() -> None:
        port, stop = await serve()
        try:
            await test(port)
        finally:
            await stop()

    asyncio.run(main())


async def http_server() -> tuple[int, Callable[[], Awaitable[None]]]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["code"]), text=request.headers.get("X-Test", ""))

    app = web.Application()
    app.router.add_get("/{code}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    return runner.addresses[0][1], runner.cleanup


async def outcome(tree: dict[str, Any], timeout_s: float = 2.0) -> ProbeOutcome:
    container = Container(name="c")
    return await run_probe(msgspec.convert(tree, Probe), container, "id", LOOPBACK, None, timeout_s)  # type: ignore[arg-type]


@pytest.mark.parametrize(("code", "ok"), [(200, True), (302, True), (399, True), (404, False), (500, False)])
def test_http_succeeds_between_200_and_399(code: int, ok: bool) -> None:
    async def test(port: int) -> None:
        found = await outcome(
            {"httpGet": {"path": f"/{code}", "port": port, "httpHeaders": [{"name": "X-Test", "value": "v"}]}}
        )
        assert found.ok is ok
        assert ok or found.output == f"HTTP probe failed with statuscode: {code}"

    with_server(http_server, test)


def test_tcp_succeeds_when_somebody_listens() -> None:
    async def test(port: int) -> None:
        assert (await outcome({"tcpSocket": {"port": port}})).ok

    with_server(http_server, test)
    assert not asyncio.run(outcome({"tcpSocket": {"port": 1}})).ok


def grpc_server(answer: bytes) -> Callable[[], Awaitable[tuple[int, Callable[[], Awaitable[None]]]]]:
    async def serve() -> tuple[int, Callable[[], Awaitable[None]]]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"/grpc.health.v1.Health/Check")
            assert head.startswith(b"PRI * HTTP/2.0")
            message = b"\x00" + len(answer).to_bytes(4, "big") + answer
            writer.write(frame(SETTINGS, 0, 0, b"") + frame(DATA, END_STREAM, 1, message))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, LOOPBACK, 0)

        async def stop() -> None:
            server.close()

        return server.sockets[0].getsockname()[1], stop

    return serve


@pytest.mark.parametrize(("answer", "ok"), [(b"\x08\x01", True), (b"\x08\x02", False), (b"", False)])
def test_grpc_succeeds_when_the_service_is_serving(answer: bytes, ok: bool) -> None:
    async def test(port: int) -> None:
        assert (await outcome({"grpc": {"port": port}})).ok is ok

    with_server(grpc_server(answer), test)


def test_a_silent_server_fails_the_probe_in_time() -> None:
    async def silent() -> tuple[int, Callable[[], Awaitable[None]]]:
        server = await asyncio.start_server(lambda reader, writer: None, LOOPBACK, 0)

        async def stop() -> None:
            server.close()

        return server.sockets[0].getsockname()[1], stop

    async def test(port: int) -> None:
        found = await outcome({"httpGet": {"path": "/", "port": port}}, 0.1)
        assert not found.ok and "deadline exceeded" in found.output

    with_server(silent, test)


def test_ports_may_be_named() -> None:
    container = msgspec.convert({"name": "c", "ports": [{"name": "web", "containerPort": 81}]}, Container)
    assert [port_number(port, container) for port in ("web", "82", 83)] == [81, 82, 83]
    with pytest.raises(ValueError, match="couldn't find port"):
        port_number("none", container)


class FakeExecEngine:
    """Answers exec probes from a list; the last answer stays."""

    def __init__(self, codes: list[int]) -> None:
        self.codes = codes

    async def exec(self, container_id: str, command: list[str], *, tty: bool, stdin: bool) -> "FakeExecEngine":
        return self

    async def read(self) -> None:
        return None

    async def wait(self) -> int:
        return self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]

    async def close(self) -> None:
        return


def test_startup_holds_the_others_back_and_liveness_then_judges() -> None:
    check = {"exec": {"command": ["x"]}, "periodSeconds": 1, "failureThreshold": 2}
    tree = {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"containers": [{"name": "c", "startupProbe": check, "livenessProbe": check}]},
    }
    pod, woken, told = msgspec.convert(tree, Pod), asyncio.Event(), []
    state = ContainerState(
        id="1", sandbox_id="s", pod_uid="u", name="c", attempt=0, image="i", image_id="i", state="running"
    )

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        engine: Any = FakeExecEngine([1, 0, 0, 1, 1])
        table = ProbeTable(engine, lambda: 0.0, lambda uid: woken.set(), lambda *event: told.append(event), sleep)
        table.sync(pod, [state], LOOPBACK)
        assert not table.views("u")["1"].started
        async with asyncio.timeout(5):
            while not table.views("u")["1"].failed:
                await woken.wait()
                woken.clear()
        assert table.views("u")["1"].started and table.views("u")["1"].failed == "Liveness"
        table.sync(pod, [], LOOPBACK)
        assert table.views("u") == {}

    asyncio.run(main())
    assert {event[2] for event in told} == {"Unhealthy"}


# The server's pure parts.


def test_messages_of_a_client_are_understood_or_ignored() -> None:
    assert parse_message(b"\x00abc") == StdinData(b"abc")
    assert parse_message(b"\xff\x00") == StdinClosed()
    assert parse_message(b'\x04{"Width":80,"Height":24}') == Resize(80, 24)
    for strange in (b"", b"\x00", b"\x04nonsense", b"\x09x", b"\xff\x01"):
        assert parse_message(strange) is None


def test_the_exit_code_is_told_as_a_status() -> None:
    assert json.loads(exit_status(0)[1:])["status"] == "Success"
    failed = json.loads(exit_status(3)[1:])
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


def test_only_masters_and_administrators_may_enter() -> None:
    def subject(**pairs: str) -> Any:
        return tuple(((name, value),) for name, value in pairs.items())

    assert may_enter(subject(organizationName="system:masters", commonName="x"))
    assert may_enter(subject(commonName="kube-apiserver-kubelet-client"))
    assert not may_enter(subject(organizationName="system:nodes", commonName="system:node:a"))
    assert not may_enter(())


def test_log_options_are_read_or_refused() -> None:
    options = log_options({"follow": "true", "tailLines": "3", "sinceSeconds": "10"}, 100.0)
    assert (options.follow, options.tail_lines, options.since_s) == (True, 3, 90.0)
    for bad in ({"tailLines": "x"}, {"sinceTime": "x"}, {"stream": "x"}):
        with pytest.raises(Refused):
            log_options(bad, 0.0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *((f"on={text}", True) for text in ("true", "True", "TRUE", "1", "t", "T", "")),
        *((f"on={text}", False) for text in ("false", "False", "FALSE", "0")),
        ("", False),
        ("off=true", False),
    ],
)
def test_flags_are_read_whatever_language_wrote_them(query: str, expected: bool) -> None:
    assert flag(dict(parse_qsl(query, keep_blank_values=True)), "on") is expected


def test_a_stripped_pod_has_no_values_and_no_annotations() -> None:
    tree = {
        "metadata": {"name": "p", "annotations": {"a": "canary"}},
        "spec": {"containers": [{"name": "c", "env": [{"name": "N", "value": "canary"}]}]},
    }
    assert "canary" not in json.dumps(strip_pod(tree))
    assert strip_pod(tree)["spec"]["containers"][0]["env"] == [{"name": "N"}]
