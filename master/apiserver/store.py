"""What this package needs of the store: the verbs of `raftstore.client.StoreClient` that it uses, and no more.

Tests put a store in memory in its place.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from raftstore.protocol import Compare, Fence, Operation, RangeResult, TxnResult, WatchBatch


class Store(Protocol):
    async def range(
        self, prefix: str, *, revision: int = 0, limit: int = 0, start_key: str = "", linearizable: bool = True
    ) -> RangeResult: ...

    async def txn(
        self,
        compares: Sequence[Compare],
        success: Sequence[Operation],
        failure: Sequence[Operation] = (),
        *,
        fence: Fence | None = None,
    ) -> TxnResult: ...

    async def current_revision(self) -> int: ...

    def watch(self, prefix: str, *, start_revision: int, with_previous: bool = True) -> AsyncIterator[WatchBatch]: ...

    async def lease_grant(self, ttl_s: float) -> int: ...

    async def lease_keepalive(self, lease: int) -> object: ...

    async def lease_revoke(self, lease: int) -> object: ...

    async def compact(self, revision: int) -> object: ...

    async def close(self) -> None: ...
