"""The one shape of all controllers: watched objects become keys, a queue hands out keys, `reconcile` does the rest.

A controller states `watches` and `reconcile(key)`; this class owns everything else: the queue and its workers, back-off
with jitter, the gate that makes it read its own writes, the counters, and the one place where errors end. Rules:
one key is in one pair of hands at a time; reconcile looks at the state, never at what kind of event woke it; cached
objects are never changed; whatever went wrong, the key comes again.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec

from master.api.meta import Object
from master.api.status import AlreadyExists, ApiError, Conflict, NotFound, OutcomeUnknown
from master.client.events import EventRecorder
from master.client.informer import Informer
from master.client.rest import RestClient, object_key
from master.client.store import Delta
from master.client.workqueue import WorkQueue
from master.controllers.env import Env
from master.controllers.gate import Gate
from master.controllers.informers import Informers

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

RECONCILE_TIMEOUT_S = 60.0
"""No single round may hold its key longer; a namespace of thousands of objects continues in the next round."""
RETRY_FIRST_S = 0.01
RETRY_MAX_S = 15.0
MAX_UNKNOWN_RETRIES = 5
"""How often a create of unknown outcome is repeated under the same name before the round fails."""


class Watch(NamedTuple):
    """Objects of `kind` and the keys that must be reconciled when one changes (asked for the old and the new state)."""

    kind: type[Any]
    keys: Callable[[Any], Iterable[str]]


class Counters(msgspec.Struct):
    """What a metrics endpoint will show of one controller."""

    reconciled: int = 0
    conflicts: int = 0
    failures: int = 0
    gate_waits: int = 0
    busy_s: float = 0.0


class Context(msgspec.Struct, frozen=True):
    """What every controller is given: how to read, how to write (fenced), how to tell, and what time it is."""

    client: RestClient
    informers: Informers
    events: EventRecorder
    env: Env


class Controller(ABC):
    """Subclasses: `name`, `watches`, `reconcile`; informers and indexes are asked for in `__init__`."""

    name: ClassVar[str]
    workers: ClassVar[int] = 4
    coalesce_s: ClassVar[float] = 0.0
    """How long a change may wait for others of the same key."""

    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.informers = context.informers
        self.events = context.events
        self.env = context.env
        self.counters = Counters()
        self.queue: WorkQueue[str] = WorkQueue(self.name, clock=context.env.clock)
        self._failures: dict[str, int] = {}
        self._gate: Gate | None = None

    @abstractmethod
    def watches(self) -> Sequence[Watch]: ...

    @abstractmethod
    async def reconcile(self, key: str) -> float | None:
        """One step towards what is wanted; a number asks to be called again in so many seconds."""

    def attach(self) -> None:
        """Hear of changes; before the informers run, so that their first list arrives as changes too."""
        for watch in self.watches():
            informer: Informer[Any] = self.informers.of(watch.kind)
            informer.add_handler(self._handler(watch))

    def _handler(self, watch: Watch) -> Callable[[Delta[Any]], None]:
        def handle(delta: Delta[Any]) -> None:
            keys = dict.fromkeys(watch.keys(delta.object))
            if delta.old is not None:
                keys |= dict.fromkeys(watch.keys(delta.old))
            for key in keys:
                self.queue.add_after(key, self.coalesce_s)

        return handle

    async def run(self) -> None:
        """Work for ever; the caches must be synced."""
        self._gate = Gate(self.informers.all())
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.workers):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._handle(key)
            finally:
                self.queue.done(key)

    async def _handle(self, key: str) -> None:
        if not self.gate.is_open(key):
            self.counters.gate_waits += 1
            self._retry(key)
            return
        started_s = self.env.clock()
        try:
            async with asyncio.timeout(RECONCILE_TIMEOUT_S):
                again_s = await self.reconcile(key)
        except (Conflict, NotFound, AlreadyExists) as error:
            self.counters.conflicts += 1
            log.debug("%s %s: %s", self.name, key, error)
            self._retry(key)
        except (ApiError, OSError) as error:
            self.counters.failures += 1
            log.warning("%s %s: %s", self.name, key, error)
            self._retry(key)
        except Exception:  # the one place where errors end: a defect in one key must not stop the others
            self.counters.failures += 1
            log.exception("%s %s", self.name, key)
            self._retry(key)
        else:
            self._failures.pop(key, None)
            if again_s is not None:
                self.queue.add_after(key, again_s)
        self.counters.reconciled += 1
        self.counters.busy_s += self.env.clock() - started_s

    def _retry(self, key: str) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(failures, 32))
        self.queue.add_after(key, delay_s * self.env.rng.uniform(0.5, 1.0))

    @property
    def gate(self) -> Gate:
        assert self._gate is not None, "only a running controller writes"
        return self._gate

    async def create(self, key: str, obj: T) -> T:
        """Exactly once, because the name is ours: a create whose answer got lost is repeated under the same name."""
        for _ in range(MAX_UNKNOWN_RETRIES):
            try:
                created = await self.client.create(obj)
            except OutcomeUnknown:
                continue
            except AlreadyExists:
                created = await self.client.get(type(obj), obj.metadata.name, obj.metadata.namespace)
                if created.metadata.owner_references != obj.metadata.owner_references:
                    raise
            self.gate.wrote(key, created)
            return created
        raise OutcomeUnknown(f"creating {object_key(obj)} had no certain outcome")

    async def update(self, key: str, obj: T, *, subresource: str = "") -> T:
        updated = await self.client.update(obj, subresource=subresource)
        self.gate.wrote(key, updated)
        return updated

    async def patch(
        self, key: str, obj: T, patch: Mapping[str, Any], *, patch_type: str = "strategic", subresource: str = ""
    ) -> T:
        meta = obj.metadata
        patched = await self.client.patch(
            type(obj), meta.name, meta.namespace, patch, patch_type=patch_type, subresource=subresource
        )
        self.gate.wrote(key, patched)
        return patched

    async def delete(
        self, key: str, obj: Object, *, grace_period_s: int | None = None, propagation: str = "Background"
    ) -> None:
        """This very object (by uid); that it is gone already is as good."""
        meta = obj.metadata
        try:
            await self.client.delete(
                type(obj),
                meta.name,
                meta.namespace,
                uid=meta.uid,
                grace_period_s=grace_period_s,
                propagation=propagation,
            )
        except NotFound:
            pass
        except Conflict:
            # Another object has its name by now, or this one is still there: then the round has failed.
            if await self._is_there(obj):
                raise
        self.gate.deleted(key, obj)

    async def _is_there(self, obj: Object) -> bool:
        meta = obj.metadata
        try:
            live = await self.client.get(type(obj), meta.name, meta.namespace)
        except NotFound:
            return False
        return bool(live.metadata.uid == meta.uid)


def is_fenced(error: ApiError) -> bool:
    """Whether the store refused because somebody else leads by now."""
    return any(cause.reason == "Fenced" for cause in error.causes)
