"""A live copy of one kind: list once, follow the watch for ever, and tell handlers what changed.

Whatever breaks, the copy converges: a watch that ends is taken up at the last version seen, on any master; a version
that is too old (410) means listing again, and the difference to what was known is told as ordinary deltas. Handlers
therefore never miss a change, though they may see several folded into one.
"""

import asyncio
import builtins
import logging
import random
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from master.api.meta import Object
from master.api.scheme import SCHEME
from master.api.selectors import Selector
from master.api.status import ApiError, Expired
from master.client.backoff import Backoff
from master.client.rest import RestClient
from master.client.store import DELETED, Delta, IndexFunction, ObjectStore, object_key
from master.client.watch import WATCH_TIMEOUT_S, WatchEvent, jittered_timeout_s

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

RETRY_FIRST_S = 0.05
RETRY_MAX_S = 5.0
"""client-go waits up to 30 s; a kubelet or proxy must be back sooner than a lost node is given up."""
BOOKMARK = "BOOKMARK"


class Informer(Generic[T]):
    """Add indexes and handlers, then `run()`; read with `get`, `list`, `by_index` once `wait_synced` returned.

    What it returns is shared: never change it (`rest.copy_object` makes a copy)."""

    def __init__(
        self,
        client: RestClient,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        rng: random.Random | None = None,
    ) -> None:
        self.kind = kind
        self.resource_version = ""
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._rng = rng or random.Random()
        self._store: ObjectStore[T] = ObjectStore()
        self._handlers: builtins.list[Callable[[Delta[T]], None]] = []
        self._synced = asyncio.Event()

    def add_index(self, name: str, function: IndexFunction[T]) -> None:
        self._store.add_index(name, function)

    def add_handler(self, handler: Callable[[Delta[T]], None]) -> None:
        """Called in order for every change, on the event loop: put a key into a queue and return."""
        self._handlers.append(handler)

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self, timeout_s: float | None = None) -> None:
        """Until the first list is in; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._synced.wait()

    def get(self, key: str) -> T | None:
        return self._store.get(key)

    def list(self, namespace: str = "", selector: Selector | None = None) -> builtins.list[T]:
        return self._store.select(namespace, selector)

    def by_index(self, name: str, value: str) -> builtins.list[T]:
        return self._store.by_index(name, value)

    def __len__(self) -> int:
        return len(self._store)

    async def run(self) -> None:
        """For ever; ends only by cancellation."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S, rng=self._rng)
        while True:
            try:
                if not self.resource_version:
                    await self._relist()
                if await self._follow():
                    backoff.reset()
                    continue
            except Expired:
                log.info("%s: version %s is gone, listing again", self._name, self.resource_version)
                self.resource_version = ""
            except (ApiError, OSError, ValueError, msgspec.MsgspecError) as error:
                # The last two: an answer that cannot be decoded. It may be one bad server out of three.
                log.warning("%s: %s", self._name, error)
            await asyncio.sleep(backoff.next_s())

    async def _relist(self) -> None:
        found = await self._client.list(
            self.kind, self._namespace, label_selector=self._label_selector, field_selector=self._field_selector
        )
        deltas = self._store.replace(found.items)
        self.resource_version = found.resource_version
        for delta in deltas:
            self._tell(delta)
        self._synced.set()

    async def _follow(self) -> bool:
        """One watch from the last version seen to its end; whether anything came of it."""
        fruitful = False
        async for event in self._client.watch(
            self.kind,
            self._namespace,
            resource_version=self.resource_version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_s=jittered_timeout_s(WATCH_TIMEOUT_S, self._rng),
        ):
            fruitful = True
            self._take_in(event)
        return fruitful

    def _take_in(self, event: WatchEvent[T]) -> None:
        obj = event.object
        deltas: builtins.list[Delta[T]] = []
        if event.type == DELETED:
            deltas = self._store.remove(object_key(obj), obj)
        elif event.type != BOOKMARK:
            deltas = self._store.put(obj)
        self.resource_version = obj.metadata.resource_version
        for delta in deltas:
            self._tell(delta)

    def _tell(self, delta: Delta[T]) -> None:
        for handler in self._handlers:
            try:
                handler(delta)
            except Exception:  # one handler's defect must not end everybody's copy
                log.exception("%s: a handler failed on %s %s", self._name, delta.type, object_key(delta.object))

    @property
    def _name(self) -> str:
        return SCHEME.by_struct(self.kind).plural
