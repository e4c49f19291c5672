"""All pods of the node: starts a worker for each, wakes it when something changed, ends what nobody wants any more."""

import asyncio
import logging
from collections.abc import Callable

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.client.store import object_key
from node.admission import refusal
from node.context import NodeContext
from node.mirrors import is_static
from node.podworker import PodWorker, orphan_pod
from node.tokens import TokenCache
from node.volumes.setup import clear_pod_folder

log = logging.getLogger(__name__)

HOUSEKEEPING_S = 2.0
MAX_WORKERS = 1000
"""Far above what a node holds (110 pods by default); a bound on a source gone wrong."""


class PodWorkers:
    def __init__(self, context: NodeContext, own_node: Callable[[], Node | None]) -> None:
        self._context = context
        self._own_node = own_node
        self._tokens = TokenCache(context.client, context.clock)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._swept = False

    def wake(self, uid: str) -> None:
        """The pod or its containers changed."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()
        elif self._context.cache.has_listed and (pod := self._context.source.get(uid)) is not None:
            self._begin(pod)

    def worker(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    async def run(self) -> None:
        """Catch what `wake` has missed, now and every few seconds."""
        try:
            while True:
                if self._context.cache.has_listed:
                    self._begin_missing()
                    if self._context.source.has_synced:
                        self._end_orphans()
                        self._sweep_folders()
                await asyncio.sleep(HOUSEKEEPING_S)
        finally:
            for worker in self._workers.values():
                worker.cancel_background()
            for task in self._tasks.values():
                task.cancel()

    def _begin_missing(self) -> None:
        for pod in self._context.source.pods():
            if pod.metadata.uid not in self._workers:
                self._begin(pod)

    def _begin(self, pod: Pod, *, orphan: bool = False) -> None:
        uid = pod.metadata.uid
        if len(self._workers) >= MAX_WORKERS:
            log.error("pod %s is not run: this node has %d pods already", pod.metadata.name, MAX_WORKERS)
            return
        if not orphan and (self._follows_another(pod) or self._has_left(pod)):
            return
        worker = PodWorker(self._context, uid, self._tokens)
        worker.pod, worker.is_orphan = pod, orphan
        if not orphan:
            self._admit(worker, pod)
        self._workers[uid] = worker
        task = asyncio.create_task(worker.run(), name=f"pod {pod.metadata.namespace}/{pod.metadata.name}")
        self._tasks[uid] = task
        task.add_done_callback(lambda _: self._ended(uid))

    def _follows_another(self, pod: Pod) -> bool:
        """Whether a former version of a static pod is still here: the two would fight over ports and files."""
        if not is_static(pod):
            return False
        here = {uid: object_key(worker.pod) for uid, worker in self._workers.items() if worker.pod is not None}
        if self._context.source.has_synced:  # before, what runs may be a pod of the API by that name
            here |= {uid: f"{each.namespace}/{each.name}" for uid, each in self._context.cache.pods().items()}
        leaving = (key for uid, key in here.items() if self._context.source.get(uid) is None)
        return object_key(pod) in leaving

    def _has_left(self, pod: Pod) -> bool:
        """Whether it ended here and was told so to the API, where only somebody's finalizer keeps it."""
        meta = pod.metadata
        is_released = meta.deletion_timestamp is not None and not meta.deletion_grace_period_seconds
        return is_released and _has_ended(pod) and self._context.cache.get(meta.uid).is_empty()

    def _ended(self, uid: str) -> None:
        del self._workers[uid]
        del self._tasks[uid]

    def _admit(self, worker: PodWorker, pod: Pod) -> None:
        """Only a pod that has not begun here can be refused; static pods are the node's own will."""
        begun = not self._context.cache.get(worker.uid).is_empty() or pod.status.container_statuses
        if begun or is_static(pod) or pod.metadata.deletion_timestamp or _has_ended(pod):
            return
        active = [other.pod for other in self._workers.values() if other.pod is not None and self._is_active(other)]
        refused = refusal(pod, active, self._context.allocatable, self._own_node())
        if refused is not None:
            reason, message = refused
            self._context.event(pod, "Warning", reason, message)
            worker.reject(reason, f"Pod was rejected: {message}")

    def _is_active(self, worker: PodWorker) -> bool:
        """A pod deleted by force makes room at once, as for the scheduler, which has never heard of it again."""
        if self._context.source.get(worker.uid) is None:
            return False
        status = worker.status or (worker.pod.status if worker.pod is not None else None)
        return not worker.is_orphan and (status is None or status.phase not in ("Succeeded", "Failed"))

    def _end_orphans(self) -> None:
        for uid, runtime in self._context.cache.pods().items():
            if uid not in self._workers and self._context.source.get(uid) is None:
                log.info("pod %s/%s runs here and is not wanted: ending it", runtime.namespace, runtime.name or uid)
                self._begin(orphan_pod(runtime), orphan=True)

    def _sweep_folders(self) -> None:
        """Once after the start: folders of pods that ended while the kubelet was away."""
        if self._swept:
            return
        self._swept = True
        pods = self._context.root / "pods"
        for folder in pods.iterdir() if pods.is_dir() else ():
            uid = folder.name
            if uid not in self._workers and self._context.cache.get(uid).is_empty():
                clear_pod_folder(folder)


def _has_ended(pod: Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")
