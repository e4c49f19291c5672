"""Writes pod statuses to the API, and removes the API object of a pod that has ended for good.

Only the newest status of a pod waits to be written. A write names the pod's uid and the version it is based on, so
that a pod of the same name that came later is never touched, and conditions of other writers are never lost.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from master.api.core.pod import Pod, PodCondition, PodStatus
from master.api.status import ApiError, Conflict, NotFound
from master.client.consistency import version_number
from master.client.rest import RestClient
from master.client.store import DELETED, Delta
from master.client.workqueue import WorkQueue
from node.mergediff import merge_diff
from node.podconditions import OWNED

log = logging.getLogger(__name__)

WRITERS = 8
MAX_CONFLICTS = 5
RETRY_S = 1.0
"""Not growing: when the masters are back, statuses must be too."""


class _Report(msgspec.Struct):
    pod: Pod
    """The API's object: the mirror, for a static pod."""
    status: PodStatus
    gone: bool = False
    """Nothing of the pod is left here: delete the object once the status is written."""


class StatusReporter:
    """`report` whenever; `run` as a task. `on_deleted(uid)` is called once the API object is gone."""

    def __init__(self, client: RestClient, on_deleted: Callable[[str], None] = lambda uid: None) -> None:
        self._client = client
        self._on_deleted = on_deleted
        self._reports: dict[str, _Report] = {}
        self._written: dict[str, Pod] = {}
        self._queue: WorkQueue[str] = WorkQueue("pod-status")

    def report(self, pod: Pod, status: PodStatus, *, gone: bool = False) -> None:
        uid = pod.metadata.uid
        before = self._reports.get(uid)
        if before is not None and before.gone:
            gone = True
        self._reports[uid] = _Report(pod, status, gone)
        self._queue.add(uid)

    def __len__(self) -> int:
        """Pods that are remembered here: no more than the API has on this node."""
        return len(self._reports.keys() | self._written.keys())

    def follow(self, delta: Delta[Pod]) -> None:
        """Handler of the informer: of a pod that the API has no more there is nothing to tell."""
        if delta.type == DELETED:
            self.forget(delta.object.metadata.uid)

    def forget(self, uid: str) -> None:
        self._reports.pop(uid, None)
        self._written.pop(uid, None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(self._write_all(), name=f"status-writer-{number}")

    async def _write_all(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                await self._write(uid)
            except (ApiError, OSError, TimeoutError) as error:
                log.info("status of pod %s not written: %s", uid, error)
                self._queue.add_after(uid, RETRY_S)
            finally:
                self._queue.done(uid)

    async def _write(self, uid: str) -> None:
        report = self._reports.get(uid)
        if report is None:
            return
        try:
            written = await self._write_status(report)
            if report.gone and written is not None:
                await self._delete(report.pod)
        except NotFound:
            written = None
        if report.gone or written is None:
            if self._reports.get(uid) is report:
                self.forget(uid)
            self._on_deleted(uid)

    async def _delete(self, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._client.delete(Pod, meta.name, meta.namespace, uid=meta.uid, grace_period_s=0)
        except Conflict:
            live = await self._client.get(Pod, meta.name, meta.namespace)
            if live.metadata.uid == meta.uid:
                raise

    async def _write_status(self, report: _Report) -> Pod | None:
        """The pod as it is now, or None when it is gone or another one of that name has taken its place."""
        meta = report.pod.metadata
        base = self._newest(report.pod)
        for _ in range(MAX_CONFLICTS):
            patch = status_patch(base, report.status)
            if not patch:
                return base
            try:
                base = await self._client.patch(Pod, meta.name, meta.namespace, patch, subresource="status")
                self._written[meta.uid] = base
                return base
            except Conflict:
                base = await self._client.get(Pod, meta.name, meta.namespace)
                if base.metadata.uid != meta.uid:
                    return None
        raise Conflict.of("pods", meta.name)

    def _newest(self, known: Pod) -> Pod:
        written = self._written.get(known.metadata.uid)
        if written is None:
            return known
        ours, theirs = (version_number(each.metadata.resource_version) for each in (written, known))
        return written if ours > theirs else known


def status_patch(base: Pod, status: PodStatus) -> dict[str, object]:
    """The merge patch from what the API has to what the kubelet says; empty when they agree."""
    wanted = msgspec.structs.replace(status, conditions=merged_conditions(base.status.conditions, status.conditions))
    old, new = msgspec.to_builtins(base.status), msgspec.to_builtins(wanted)
    difference = merge_diff(old, new)
    if not difference:
        return {}
    meta = base.metadata
    return {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "status": difference}


def merged_conditions(theirs: list[PodCondition], ours: list[PodCondition]) -> list[PodCondition]:
    """Our own conditions as we say, everybody else's as the API has them, in the API's order."""
    own = {condition.type: condition for condition in ours if condition.type in OWNED}
    merged = [own.pop(condition.type, condition) for condition in theirs]
    return [*merged, *own.values()]
