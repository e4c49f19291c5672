"""Follows the store and keeps every watch cache: one snapshot, then one watch of the whole registry.

A single watch gives a single order: when the feed has reached a revision, all caches have. That is what a consistent
read waits for. When the store has compacted away what the feed needs (it was cut off for long), everything is loaded
anew and watchers are ended; their clients list again.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Iterable

from master.api.scheme import ResourceInfo
from master.apiserver import errors
from master.apiserver.cache import ResourceCache
from master.apiserver.keys import ALLOCATIONS, MASTER_LEASES, REGISTRY, resource_prefix, split_key
from master.apiserver.store import Store
from raftstore.errors import Compacted, StoreError
from raftstore.protocol import KeyValue, WatchBatch

log = logging.getLogger("apiserver.feed")

RETRY_FIRST_S = 0.2
RETRY_LAST_S = 1.0
WAIT_LIMIT_S = 3.0
"""How long a reader waits for a revision (kube-apiserver's `blockTimeout` is 3 s)."""


class SideKeys:
    """Keys that are no objects, mirrored whole: allocations, leases of masters."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.values: dict[str, bytes] = {}
        self.changed = asyncio.Event()

    def apply(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        self.changed.set()


class Feed:
    def __init__(self, client: Store, infos: Iterable[ResourceInfo]) -> None:
        self._client = client
        self.caches: dict[str, ResourceCache] = {}
        self._by_prefix: dict[str, ResourceCache] = {}
        for info in infos:
            prefix = resource_prefix(info)
            cache = self._by_prefix.setdefault(prefix, ResourceCache(info))
            self.caches[f"{info.group}/{info.plural}"] = cache
        self.allocations = SideKeys(ALLOCATIONS)
        self.masters = SideKeys(MASTER_LEASES)
        self._side = (self.allocations, self.masters)
        self.revision = 0
        self.loaded = asyncio.Event()
        self.following = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def of(self, info: ResourceInfo) -> ResourceCache:
        return self.caches[f"{info.group}/{info.plural}"]

    async def run(self) -> None:
        """Load and follow for ever."""
        delay_s = RETRY_FIRST_S
        while True:
            try:
                await self._load()
                delay_s = RETRY_FIRST_S
                await self._follow()
            except Compacted as error:
                log.warning("the store compacted history that was still needed, loading anew: %s", error)
            except StoreError as error:
                log.warning("cannot follow the store, trying again in %.1f s: %s", delay_s, error)
            finally:
                self.following = False
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_LAST_S)

    async def _load(self) -> None:
        found = await self._client.range(REGISTRY)
        self._install(found.kvs, found.revision)
        log.info("loaded %d keys at revision %d", len(found.kvs), found.revision)

    def _install(self, pairs: list[KeyValue], revision: int) -> None:
        objects: dict[str, list[tuple[str, int, bytes]]] = {prefix: [] for prefix in self._by_prefix}
        for side in self._side:
            side.values = {kv.key: kv.value for kv in pairs if kv.key.startswith(side.prefix)}
            side.changed.set()
        for kv in pairs:
            prefix, key = split_key(kv.key)
            if prefix in objects:
                objects[prefix].append((key, kv.mod_revision, kv.value))
        for prefix, cache in self._by_prefix.items():
            cache.load(objects[prefix], revision)
        self._reached(revision)
        self.loaded.set()

    async def _follow(self) -> None:
        async for batch in self._client.watch("", start_revision=self.revision + 1, with_previous=False):
            self.following = True
            self.apply(batch)

    def apply(self, batch: WatchBatch) -> None:
        for event in batch.events:
            key = event.kv.key
            if not key.startswith(REGISTRY):
                continue
            value = event.kv.value if event.type == "PUT" else None
            prefix, relative = split_key(key)
            cache = self._by_prefix.get(prefix)
            if cache is not None:
                cache.apply(relative, event.kv.mod_revision, value)
                continue
            for side in self._side:
                if key.startswith(side.prefix):
                    side.apply(key, value)
        self._reached(batch.revision)

    def _reached(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        while self._waiting and self._waiting[0][0] <= self.revision:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def wait_for(self, revision: int, timeout_s: float = WAIT_LIMIT_S) -> None:
        """Until the caches have reached the revision; a 504 that says so when they do not in time."""
        if revision <= self.revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (revision, next(self._order), future)
        heapq.heappush(self._waiting, waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError as error:
            raise errors.version_too_large(revision, self.revision) from error
        finally:
            if revision > self.revision:  # nobody will pop it soon, or ever
                self._waiting.remove(waiting)
                heapq.heapify(self._waiting)

    def end_watches(self) -> None:
        for cache in self._by_prefix.values():
            cache.watchers.end_all()
