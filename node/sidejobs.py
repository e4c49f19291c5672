"""What a pod's worker does not wait for: the stopping of containers and the hooks of those that have just started.

Each ends by calling `noticed`, whatever became of it: the worker then looks at the engine and decides anew.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

log = logging.getLogger(__name__)

SOONER_S = 0.5
"""A stop under way is begun anew only when it must end this much sooner than it would."""
FAILED_PAUSE_S = 1.0
"""After a stop that failed; it would be ordered again at once."""

Work = Coroutine[Any, Any, None]


class _Stop(msgspec.Struct):
    task: asyncio.Task[None]
    deadline_s: float


class SideJobs:
    def __init__(self, clock: Callable[[], float], noticed: Callable[[], None]) -> None:
        self._clock = clock
        self._noticed = noticed
        self._stops: dict[str, _Stop] = {}
        self._hooks: dict[str, asyncio.Task[None]] = {}

    def hooked(self) -> list[str]:
        """Containers whose postStart hook still runs: they have not started as far as anybody is told."""
        return list(self._hooks)

    def stop(self, container_id: str, grace_s: float, work: Callable[[bool], Work]) -> None:
        """Begin to stop, unless that is under way already and ends as soon; `work(first)` does it."""
        deadline_s = self._clock() + grace_s
        under_way = self._stops.get(container_id)
        if under_way is not None:
            if deadline_s > under_way.deadline_s - SOONER_S:
                return
            under_way.task.cancel()
        task = asyncio.create_task(_stop_patiently(container_id, work(under_way is None)), name=f"stop {container_id}")
        self._stops[container_id] = _Stop(task, deadline_s)
        task.add_done_callback(lambda done: self._stopped(container_id, done))

    def hook(self, container_id: str, work: Work) -> None:
        task = asyncio.create_task(work, name=f"postStart {container_id}")
        self._hooks[container_id] = task
        task.add_done_callback(lambda _: self._unhooked(container_id))

    def cancel_hooks(self) -> None:
        for hook in self._hooks.values():
            hook.cancel()

    def cancel(self) -> None:
        """At the kubelet's end; what runs goes on running."""
        self.cancel_hooks()
        for stop in self._stops.values():
            stop.task.cancel()

    def _stopped(self, container_id: str, task: asyncio.Task[None]) -> None:
        current = self._stops.get(container_id)
        if current is not None and current.task is task:
            del self._stops[container_id]
        self._noticed()

    def _unhooked(self, container_id: str) -> None:
        self._hooks.pop(container_id, None)
        self._noticed()


async def _stop_patiently(container_id: str, work: Work) -> None:
    try:
        await work
    except Exception as error:  # the engine's own; the worker will order it again
        log.warning("stopping %s: %s", container_id, error)
        await asyncio.sleep(FAILED_PAUSE_S)
