"""The scheduling loop: take the next pod, decide, assume, and bind in the background.

Deciding is synchronous and pure, so nothing can change between looking and assuming; only the requests to the API
wait. Standbys keep their informers and queue warm and do nothing else; the leader's writes carry its epoch.

Writes: the binding, `PodScheduled=False` with the reason on pods that fit nowhere, and events.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

from master.api.core.node import Node
from master.api.core.pod import Pod, PodCondition
from master.api.status import ApiError, Conflict, NotFound, OutcomeUnknown
from master.api.timestamps import now_rfc3339
from master.client.events import EventRecorder
from master.client.informer import Informer
from master.client.rest import RestClient, object_key
from master.client.store import DELETED, Delta
from master.scheduler.changes import node_changes, placement_changed
from master.scheduler.cluster import Cluster
from master.scheduler.explain import Explanation
from master.scheduler.framework import Change, Framework, Placement
from master.scheduler.podinfo import PodInfo
from master.scheduler.queue import Pending, SchedulingQueue

log = logging.getLogger(__name__)

COMPONENT = "default-scheduler"
UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
MAX_WRITES_IN_FLIGHT = 64
"""Bindings and status writes under way; more would only queue up in the API server."""
UNKNOWN_PAUSE_S = 0.5
MAX_CONFLICTS = 3
"""Why a pod waits is worth no more attempts to write; the next failure tells it again."""


class Scheduler:
    """`run()` keeps the picture up to date for ever; `lead()` schedules while this process is the leader."""

    def __init__(
        self,
        client: RestClient,
        framework: Framework,
        *,
        scheduler_name: str = COMPONENT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._framework = framework
        self._scheduler_name = scheduler_name
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()
        self._queue = SchedulingQueue()
        self._cluster = Cluster()
        self._recorder = EventRecorder(client, COMPONENT)
        self._wakeup = asyncio.Event()
        self._writes = asyncio.Semaphore(MAX_WRITES_IN_FLIGHT)
        self._nodes = Informer(client, Node)
        self._pods = Informer(client, Pod, field_selector=UNFINISHED)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run())
            tasks.create_task(self._pods.run())
            tasks.create_task(self._recorder.run())

    # What the informers tell.

    def _node_changed(self, delta: Delta[Node]) -> None:
        if delta.type == DELETED:
            self._cluster.remove_node(delta.object.metadata.name)
            self._wake(Change.NODE_GONE)
            return
        self._cluster.put_node(delta.object)
        for change in node_changes(delta.old, delta.object):
            self._wake(change)

    def _pod_changed(self, delta: Delta[Pod]) -> None:
        pod, key = delta.object, object_key(delta.object)
        if delta.type == DELETED:
            self._queue.remove(key)
            if self._cluster.remove_pod(pod):
                self._wake(Change.POD_GONE)
        elif pod.spec.node_name:
            self._queue.remove(key)
            self._cluster.put_pod(pod)
            if placement_changed(delta.old, pod):
                self._wake(Change.POD_PLACED)
        elif not self._is_ours(pod):
            self._queue.remove(key)
        elif not self._cluster.is_assumed(pod.metadata.uid):
            self._offer(delta)

    def _offer(self, delta: Delta[Pod]) -> None:
        info = PodInfo(delta.object)
        if delta.old is not None and info.key in self._queue and _same_wishes(delta.old, delta.object):
            self._queue.refresh(info)
            return
        self._queue.add(info, self._clock())
        self._wakeup.set()

    def _is_ours(self, pod: Pod) -> bool:
        ready = not pod.spec.scheduling_gates and pod.metadata.deletion_timestamp is None
        return ready and (pod.spec.scheduler_name or COMPONENT) == self._scheduler_name

    def _wake(self, change: Change) -> None:
        if self._queue.wake(change, self._clock()):
            self._wakeup.set()

    # Leading.

    async def lead(self, epoch: int) -> None:
        """Schedule until cancelled. Bindings under way are then cancelled too; their pods are taken up again."""
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        self._resume()
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._writes.acquire()
                pending = self._queue.pop(self._clock())  # only now: a pod in hand must not be offered again
                if pending is None:
                    self._writes.release()
                    await self._sleep()
                else:
                    tasks.create_task(self._release_after(self._schedule(pending)))

    def _resume(self) -> None:
        """A term begins: whatever an earlier term had in hand and did not finish is tried again."""
        for pod in self._pods.list():
            key = object_key(pod)
            if pod.spec.node_name or not self._is_ours(pod) or key in self._queue:
                continue
            info = PodInfo(pod)
            self._cluster.forget(info)
            self._queue.add(info, self._clock())

    async def _sleep(self) -> None:
        """Until something becomes active."""
        self._wakeup.clear()
        due_s = self._queue.next_due_s()
        timeout_s = None if due_s is None else max(0.0, due_s - self._clock())
        try:
            async with asyncio.timeout(timeout_s):
                await self._wakeup.wait()
        except TimeoutError:
            return

    async def _release_after(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._writes.release()

    def _schedule(self, pending: Pending) -> Coroutine[Any, Any, None]:
        """Decide now, and return what is left to do: the requests."""
        try:
            outcome = self._framework.decide(pending.info, self._cluster.table, self._rng)
        except Exception:  # one pod that a plugin cannot digest must not keep all others from their nodes
            log.exception("deciding on %s", pending.info.key)
            self._queue.failed(pending, self._clock())
            return asyncio.sleep(0)
        if isinstance(outcome, Placement):
            self._cluster.assume(pending.info, outcome.node_name)
            return self._bind(pending, outcome.node_name)
        self._queue.unschedulable(pending, self._framework.helped_by(outcome.plugins), self._clock())
        return self._report(pending.info.pod, outcome)

    async def _bind(self, pending: Pending, node_name: str) -> None:
        pod = pending.info.pod
        try:
            await self._client.bind(pod, node_name)
        except OutcomeUnknown as error:
            log.warning("binding %s: %s", pending.info.key, error)
            await self._settle(pending)
        except (Conflict, NotFound) as error:
            # Bound by somebody else, deleted, or we are no longer the leader: the informer will tell.
            log.info("binding %s: %s", pending.info.key, error)
            self._give_back(pending)
        except (ApiError, OSError) as error:
            log.warning("binding %s: %s", pending.info.key, error)
            self._give_back(pending)
        else:
            name = f"{pod.metadata.namespace}/{pod.metadata.name}"
            self._recorder.event(pod, "Normal", "Scheduled", f"Successfully assigned {name} to {node_name}")

    async def _settle(self, pending: Pending) -> None:
        """A binding may or may not have happened: ask until it is known. The assumption stands meanwhile."""
        meta = pending.info.pod.metadata
        while self._cluster.is_assumed(pending.info.uid):  # the informer may answer first
            try:
                found = await self._client.get(Pod, meta.name, meta.namespace)
            except NotFound:
                self._free_place(pending)
                return
            except (ApiError, OSError) as error:
                log.info("asking for %s: %s", pending.info.key, error)
                await asyncio.sleep(UNKNOWN_PAUSE_S)
                continue
            if found.metadata.uid == meta.uid and not found.spec.node_name:
                self._give_back(pending)
            return  # else it is bound, or another pod by now, and the informer will show it

    def _free_place(self, pending: Pending) -> None:
        self._cluster.forget(pending.info)
        self._wake(Change.POD_GONE)

    def _give_back(self, pending: Pending) -> None:
        self._free_place(pending)
        current = self._pods.get(pending.info.key)
        if current is None or current.metadata.uid != pending.info.uid or current.spec.node_name:
            return
        if not self._is_ours(current):
            return  # its informer event has passed already
        pending.info = PodInfo(current)
        self._queue.failed(pending, self._clock())
        self._wakeup.set()

    async def _report(self, pod: Pod, explanation: Explanation) -> None:
        message = explanation.message()
        self._recorder.event(pod, "Warning", "FailedScheduling", message)
        try:
            await self._write_reason(pod, message)
        except (ApiError, OSError) as error:
            log.info("status of %s: %s", object_key(pod), error)

    async def _write_reason(self, pod: Pod, message: str) -> None:
        """Only on the very state that was judged: it may have a node by the time that the write arrives."""
        meta = pod.metadata
        for _ in range(MAX_CONFLICTS):
            condition = _unschedulable(pod, message, now_rfc3339(self._wall_clock()))
            if condition is None:
                return
            base = {"uid": meta.uid, "resourceVersion": pod.metadata.resource_version}
            patch = {"metadata": base, "status": {"conditions": [condition]}}
            try:
                await self._client.patch(
                    Pod, meta.name, meta.namespace, patch, patch_type="strategic", subresource="status"
                )
                return
            except Conflict:
                pod = await self._client.get(Pod, meta.name, meta.namespace)
                if pod.metadata.uid != meta.uid or pod.spec.node_name:
                    return


def _same_wishes(old: Pod, new: Pod) -> bool:
    """Whether a new attempt could not end otherwise: nothing a plugin looks at has changed."""
    return old.spec == new.spec and old.metadata.labels == new.metadata.labels


def _unschedulable(pod: Pod, message: str, now: str) -> PodCondition | None:
    """The condition to write, or None when the pod shows it already."""
    old = next((each for each in pod.status.conditions if each.type == "PodScheduled"), None)
    if old is not None and (old.status, old.reason, old.message) == ("False", "Unschedulable", message):
        return None
    since = old.last_transition_time if old is not None and old.status == "False" else now
    return PodCondition(
        type="PodScheduled", status="False", reason="Unschedulable", message=message, last_transition_time=since
    )
