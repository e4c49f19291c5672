"""The status writer: what it remembers, and when it lets go."""

import asyncio
from collections.abc import Callable
from typing import Any

from master.api.core.pod import Pod, PodStatus
from master.api.meta import ObjectMeta
from master.api.status import Conflict, NotFound
from master.client.store import DELETED, MODIFIED, Delta
from node.reporter import StatusReporter


def pod(uid: str, version: str = "1", phase: str = "Running") -> Pod:
    meta = ObjectMeta(name="web", namespace="default", uid=uid, resource_version=version)
    return Pod(metadata=meta, status=PodStatus(phase=phase))


class FakeApi:
    """One pod's place in the API, with the preconditions that the server checks."""

    def __init__(self, live: Pod | None) -> None:
        self.live = live
        self.requests: list[str] = []

    def _found(self, verb: str) -> Pod:
        self.requests.append(verb)
        if self.live is None:
            raise NotFound("gone")
        return self.live

    async def get(self, *_: Any) -> Pod:
        return self._found("get")

    async def patch(self, kind: type, name: str, namespace: str, patch: dict[str, Any], **_: Any) -> Pod:
        live = self._found("patch")
        wanted = patch["metadata"]
        if (wanted["uid"], wanted["resourceVersion"]) != (live.metadata.uid, live.metadata.resource_version):
            raise Conflict("changed")
        number = int(live.metadata.resource_version) + 1
        self.live = pod(live.metadata.uid, str(number), patch["status"]["phase"])
        return self.live

    async def delete(self, kind: type, name: str, namespace: str, *, uid: str, grace_period_s: int) -> None:
        if self._found("delete").metadata.uid != uid:
            raise Conflict("the UID in the precondition does not match")
        self.live = None


async def written(reporter: StatusReporter, is_done: Callable[[], bool]) -> None:
    writing = asyncio.create_task(reporter.run())
    try:
        async with asyncio.timeout(5):
            while not is_done():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0)
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


def test_a_pod_that_was_replaced_under_its_name_is_let_go_and_its_successor_left_alone() -> None:
    async def body() -> None:
        successor = pod("new")
        api = FakeApi(successor)
        ended: list[str] = []
        reporter = StatusReporter(api, ended.append)  # type: ignore[arg-type]
        reporter.report(pod("old", phase="Succeeded"), PodStatus(phase="Succeeded"), gone=True)
        await written(reporter, lambda: bool(ended) or len(api.requests) > 4)
        assert ended == ["old"] and len(reporter) == 0
        assert api.live is successor

    asyncio.run(body())


def test_nothing_is_remembered_of_a_pod_that_the_api_has_forgotten() -> None:
    """Deleted by force, or the mirror of a static pod: nobody reports its end."""

    async def body() -> None:
        api = FakeApi(pod("a", phase="Pending"))
        reporter = StatusReporter(api)  # type: ignore[arg-type]
        reporter.report(pod("a", phase="Pending"), PodStatus(phase="Running"))
        await written(reporter, lambda: api.requests == ["patch"])
        assert len(reporter) == 1
        reporter.follow(Delta(MODIFIED, pod("a", "2")))
        assert len(reporter) == 1
        reporter.follow(Delta(DELETED, pod("a", "3")))
        assert len(reporter) == 0

    asyncio.run(body())
