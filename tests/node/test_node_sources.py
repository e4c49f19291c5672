"""Static pods and their mirrors beside the API: nodes that vanish, versions that follow each other."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from master.api.coordination.lease import Lease
from master.api.core.node import Node
from master.api.core.pod import Pod, PodStatus
from master.api.meta import ObjectMeta
from master.api.status import NotFound
from node import podsource, podworkers
from node.lease import NodeLease
from node.podsource import PodSource
from node.podworkers import PodWorkers
from node.registration import known_node
from node.runtime import PodRuntime
from node.statics import ManifestFolder, parse_manifest

MANIFEST = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n"


class FakeApi:
    """Takes mirrors in and forgets them, as the collector does when their node is gone."""

    def __init__(self) -> None:
        self.created: list[Pod] = []

    async def create(self, obj: Pod) -> Pod:
        self.created.append(obj)
        return obj


def node(version: str = "1") -> Node:
    return Node(metadata=ObjectMeta(name="node-1", uid="uid-node", resource_version=version))


def test_no_mirror_is_made_while_the_node_does_not_exist(tmp_path: Path, monkeypatch: Any) -> None:
    """It would be collected at once, and made again, and so on."""
    monkeypatch.setattr(podsource, "MIRROR_RETRY_S", 0.0)

    async def body() -> None:
        (tmp_path / "web.yaml").write_text(MANIFEST)
        api, asked = FakeApi(), list[Node | None]()

        def own_node() -> Node | None:
            asked.append(node() if len(asked) >= 3 else None)
            return asked[-1]

        folder = ManifestFolder(tmp_path, "node-1")
        source = PodSource(api, "node-1", folder, lambda uid: None, own_node)  # type: ignore[arg-type]
        source.informer._synced.set()
        tasks = [asyncio.create_task(source._scan_manifests(folder)), asyncio.create_task(source._keep_mirrors())]
        await until(lambda: bool(api.created))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert asked[:4] == [None, None, None, node()]
        assert [owner.uid for owner in api.created[0].metadata.owner_references] == ["uid-node"]

    asyncio.run(body())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0)


def test_the_own_node_is_what_was_written_until_the_cache_has_come_so_far() -> None:
    written, cached = node("7"), node("9")
    assert known_node(None, "", None) is None
    assert known_node(None, "6", written) is written, "the cache has not heard of it yet"
    assert known_node(None, "7", written) is None, "deleted since"
    assert known_node(cached, "9", written) is cached
    assert known_node(node("6"), "6", written) is written


class FakeWorker:
    """Runs until told to end."""

    def __init__(self, context: Any, uid: str, tokens: Any) -> None:
        self.uid = uid
        self.pod: Pod | None = None
        self.is_orphan = False
        self.status = None
        self.ended = asyncio.Event()

    async def run(self) -> None:
        await self.ended.wait()

    def wake(self) -> None:
        return


class FakeSource:
    def __init__(self) -> None:
        self.has_synced = True
        self.wanted: dict[str, Pod] = {}

    def get(self, uid: str) -> Pod | None:
        return self.wanted.get(uid)


class FakeCache:
    def __init__(self) -> None:
        self.has_listed = True
        self.shown: dict[str, PodRuntime] = {}

    def get(self, uid: str) -> PodRuntime:
        return self.shown.get(uid) or PodRuntime(uid)

    def pods(self) -> dict[str, PodRuntime]:
        return self.shown


def test_a_changed_static_pod_begins_when_its_former_version_has_gone(monkeypatch: Any) -> None:
    """Two versions at once would fight over ports and files; names are the same, uids differ."""
    monkeypatch.setattr(podworkers, "PodWorker", FakeWorker)

    async def body() -> None:
        source, cache = FakeSource(), FakeCache()
        context: Any = SimpleNamespace(source=source, cache=cache, client=None, clock=time.monotonic)
        workers = PodWorkers(context, lambda: None)
        first = parse_manifest(MANIFEST.encode(), "node-1")
        second = parse_manifest(MANIFEST.replace("image: i", "image: j").encode(), "node-1")
        source.wanted = {first.metadata.uid: first}
        workers.wake(first.metadata.uid)
        former: Any = workers.worker(first.metadata.uid)
        assert former is not None
        source.wanted = {second.metadata.uid: second}
        workers.wake(second.metadata.uid)
        assert workers.worker(second.metadata.uid) is None, "the former version still ends"
        former.ended.set()
        await until(lambda: workers.worker(first.metadata.uid) is None)
        meta = first.metadata
        cache.shown = {meta.uid: PodRuntime(meta.uid, meta.name, meta.namespace)}
        workers.wake(second.metadata.uid)
        assert workers.worker(second.metadata.uid) is None, "left behind by the kubelet before this one"
        cache.shown = {}
        workers.wake(second.metadata.uid)
        latter: Any = workers.worker(second.metadata.uid)
        assert latter is not None
        latter.ended.set()

    asyncio.run(body())


def test_a_pod_that_only_a_finalizer_keeps_in_the_api_is_not_ended_again_and_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(podworkers, "PodWorker", FakeWorker)

    async def body() -> None:
        source, cache = FakeSource(), FakeCache()
        context: Any = SimpleNamespace(source=source, cache=cache, client=None, clock=time.monotonic)
        workers = PodWorkers(context, lambda: None)
        meta = ObjectMeta(name="a", namespace="default", uid="u", finalizers=["example.com/x"])
        meta.deletion_timestamp, meta.deletion_grace_period_seconds = "2026-01-01T00:00:00Z", 0
        source.wanted = {"u": Pod(metadata=meta, status=PodStatus(phase="Failed"))}
        workers.wake("u")
        assert workers.worker("u") is None
        sandbox: Any = object()
        cache.shown = {"u": PodRuntime("u", "a", "default", [sandbox])}
        workers.wake("u")
        begun: Any = workers.worker("u")
        assert begun is not None, "something of it is still here"
        begun.ended.set()

    asyncio.run(body())


class LeaseApi:
    """Keeps one lease."""

    def __init__(self) -> None:
        self.lease: Lease | None = None

    def with_options(self, **_: Any) -> "LeaseApi":
        return self

    async def get(self, *_: Any) -> Lease:
        if self.lease is None:
            raise NotFound("none yet")
        return self.lease

    async def create(self, lease: Lease) -> Lease:
        self.lease = lease
        return lease

    async def update(self, lease: Lease) -> Lease:
        self.lease = lease
        return lease


def test_a_lease_that_is_older_than_its_node_gets_it_as_owner() -> None:
    async def body() -> None:
        api, nodes = LeaseApi(), list[Node]()
        heart = NodeLease(
            api,  # type: ignore[arg-type]
            "node-1",
            2.0,
            lambda: nodes[0] if nodes else None,
            wall=time.time,
        )
        await heart.renew()
        assert api.lease is not None and api.lease.metadata.owner_references == []
        nodes.append(node())
        await heart.renew()
        assert [owner.uid for owner in api.lease.metadata.owner_references] == ["uid-node"]

    asyncio.run(body())
