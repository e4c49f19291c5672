"""What runs on this node, asked of the engine once a second and shared by all pods (pod life-cycle event generator).

Level-triggered: the engine's events only hasten the next look, so a lost event costs a second and nothing else. A
worker that has just changed something asks for a view `newer_than` that moment; views are taken for all pods at once,
so that a hundred workers cost one look.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from node.engine.base import Engine
from node.runtime import PodRuntime, fingerprint, group_by_pod

log = logging.getLogger(__name__)

RELIST_S = 1.0
RELIST_TIMEOUT_S = 30.0
EVENTS_RETRY_S = 1.0
HEALTHY_WITHIN_S = 10.0
"""The node is ready only if the engine answered within this time."""


class RuntimeCache:
    def __init__(
        self, engine: Engine, on_change: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._on_change = on_change
        self._clock = clock
        self._pods: dict[str, PodRuntime] = {}
        self._asked_s = -1.0
        self._answered_s: float | None = None
        self._wanted = asyncio.Event()
        self._taken = asyncio.Condition()
        self.error = "the container engine has not answered yet"

    @property
    def has_listed(self) -> bool:
        return self._answered_s is not None

    @property
    def healthy(self) -> bool:
        return self._answered_s is not None and self._clock() - self._answered_s < HEALTHY_WITHIN_S

    def hasten(self) -> None:
        """Look now rather than at the next second."""
        self._wanted.set()

    def pods(self) -> dict[str, PodRuntime]:
        return self._pods

    def get(self, pod_uid: str) -> PodRuntime:
        return self._pods.get(pod_uid) or PodRuntime(pod_uid, taken_at_s=self._asked_s)

    async def newer_than(self, pod_uid: str, moment_s: float) -> PodRuntime:
        """The pod as the engine saw it after `moment_s` of this cache's clock."""
        async with self._taken:
            while self._asked_s < moment_s:
                self._wanted.set()
                await self._taken.wait()
        return self.get(pod_uid)

    async def run(self) -> None:
        """Look for ever; an engine that does not answer is asked again."""
        events = asyncio.create_task(self._follow_events(), name="engine-events")
        try:
            while True:
                await self._relist()
                try:
                    async with asyncio.timeout(RELIST_S):
                        await self._wanted.wait()
                except TimeoutError:
                    pass
        finally:
            events.cancel()

    async def _relist(self) -> None:
        self._wanted.clear()
        asked_s = self._clock()
        try:
            async with asyncio.timeout(RELIST_TIMEOUT_S):
                sandboxes = await self._engine.list_sandboxes()
                containers = await self._engine.list_containers()
        except Exception as error:  # whatever the engine raises, the kubelet outlives it
            self.error = f"{type(error).__name__}: {error}"
            log.warning("the engine cannot be asked what runs: %s", self.error)
            await asyncio.sleep(RELIST_S)
            return
        before, self._pods = self._pods, group_by_pod(sandboxes, containers, asked_s)
        self._answered_s, self.error = self._clock(), ""
        async with self._taken:
            self._asked_s = asked_s
            self._taken.notify_all()
        for uid in before.keys() | self._pods.keys():
            old, new = before.get(uid), self._pods.get(uid)
            if old is None or new is None or fingerprint(old) != fingerprint(new):
                self._on_change(uid)

    async def _follow_events(self) -> None:
        while True:
            try:
                async for _ in self._engine.events():
                    self.hasten()
            except Exception as error:  # a hint that does not come is no loss
                log.debug("engine events: %s", error)
            await asyncio.sleep(EVENTS_RETRY_S)
