"""A store in memory behind the API server's `Store` protocol: for tests that need no replication."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from raftstore.errors import Compacted, Fenced, InvalidArgument
from raftstore.protocol import (
    Compare,
    Delete,
    Fence,
    Get,
    KeyValue,
    Operation,
    Put,
    RangeResult,
    TxnResult,
    WatchBatch,
    WatchEvent,
)


class MemoryStore:
    def __init__(self) -> None:
        self.revision = 0
        self.compacted = 0
        self.log: list[WatchBatch] = []
        self.epochs: dict[str, int] = {}
        self.leases: dict[int, float] = {}
        self._states: list[dict[str, KeyValue]] = [{}]
        self._news = asyncio.Event()

    @property
    def data(self) -> dict[str, KeyValue]:
        return self._states[-1]

    async def range(
        self, prefix: str, *, revision: int = 0, limit: int = 0, start_key: str = "", linearizable: bool = True
    ) -> RangeResult:
        if revision and revision < self.compacted:
            raise Compacted(self.compacted)
        data = self._states[revision] if revision else self.data
        kvs = [data[key] for key in sorted(data) if key.startswith(prefix) and key >= start_key]
        kept = kvs[:limit] if limit else kvs
        return RangeResult(kvs=kept, revision=revision or self.revision, more=len(kept) < len(kvs), count=len(kvs))

    def _holds(self, compare: Compare) -> bool:
        kv = self.data.get(compare.key)
        actual: int | bytes
        match compare.target:
            case "mod":
                actual = kv.mod_revision if kv else 0
            case "create":
                actual = kv.create_revision if kv else 0
            case "version":
                actual = kv.version if kv else 0
            case _:
                actual = kv.value if kv else b""
        assert compare.op == "==", "the API server only compares for equality"
        return actual == compare.value

    async def txn(
        self,
        compares: Sequence[Compare],
        success: Sequence[Operation],
        failure: Sequence[Operation] = (),
        *,
        fence: Fence | None = None,
    ) -> TxnResult:
        await asyncio.sleep(0)
        if fence is not None:
            if fence.epoch < self.epochs.get(fence.role, 0):
                raise Fenced(f"{fence.role} is at epoch {self.epochs[fence.role]}")
            self.epochs[fence.role] = fence.epoch
        succeeded = all(self._holds(compare) for compare in compares)
        results, events = self._run(success if succeeded else failure)
        return TxnResult(succeeded=succeeded, revision=self._commit(events), results=results)

    def _run(self, operations: Sequence[Operation]) -> tuple[list[KeyValue | int | None], list[WatchEvent]]:
        results: list[KeyValue | int | None] = []
        events: list[WatchEvent] = []
        revision = self.revision + 1
        for operation in operations:
            if not operation.key:
                raise InvalidArgument("empty key")
            old = self.data.get(operation.key)
            match operation:
                case Get():
                    results.append(old)
                case Put(key, value, lease):
                    created, version = (old.create_revision, old.version + 1) if old else (revision, 1)
                    kv = KeyValue(key, value, created, revision, version, lease)
                    events.append(WatchEvent("PUT", kv, old))
                    results.append(None)
                case Delete(key):
                    results.append(old)
                    if old is not None:
                        events.append(WatchEvent("DELETE", KeyValue(key, b"", 0, revision, 0), old))
        return results, events

    def _commit(self, events: list[WatchEvent]) -> int:
        if events:
            self.revision += 1
            state = dict(self.data)
            for event in events:
                if event.type == "PUT":
                    state[event.kv.key] = event.kv
                else:
                    state.pop(event.kv.key, None)
            self._states.append(state)
            self.log.append(WatchBatch(self.revision, events))
            self._news.set()
            self._news = asyncio.Event()
        return self.revision

    async def current_revision(self) -> int:
        return self.revision

    async def watch(self, prefix: str, *, start_revision: int, with_previous: bool = True) -> AsyncIterator[WatchBatch]:
        while True:
            if start_revision <= self.compacted:
                raise Compacted(self.compacted)
            for batch in [batch for batch in self.log if batch.revision >= start_revision]:
                events = [event for event in batch.events if event.kv.key.startswith(prefix)]
                yield WatchBatch(batch.revision, events)
                start_revision = batch.revision + 1
            if start_revision > self.revision:
                await self._news.wait()

    async def lease_grant(self, ttl_s: float) -> int:
        self.leases[len(self.leases) + 1] = ttl_s
        return len(self.leases)

    async def lease_keepalive(self, lease: int) -> None:
        assert lease in self.leases

    async def lease_revoke(self, lease: int) -> None:
        keys = [key for key, kv in self.data.items() if kv.lease == lease]
        _, events = self._run([Delete(key) for key in keys])
        self._commit(events)

    async def compact(self, revision: int) -> None:
        self.compacted = revision

    async def close(self) -> None:
        pass
