"""Transactions on the store in the API's terms.

Every write is one compare-and-swap transaction: the object's own key, keys that must be unique (cluster IPs, node
ports), and keys whose state the decision rested on (the namespace). Several API servers share one store, so nothing
else makes a write safe. The store's errors become Status errors here, and nowhere else; above all an unknown outcome
stays one.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from master.api import status
from master.apiserver import errors
from master.apiserver.store import Store
from raftstore import errors as store_errors
from raftstore.protocol import Compare, Delete, Fence, Get, KeyValue, Put


@dataclass(slots=True)
class Transaction:
    """What must hold, what is written then, and what is read back when it did not hold."""

    compares: list[Compare] = field(default_factory=list)
    writes: list[Put | Delete] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)

    def require_absent(self, key: str) -> None:
        self.compares.append(Compare(key, "create", "==", 0))
        self.watched.append(key)

    def require_revision(self, key: str, revision: int) -> None:
        self.compares.append(Compare(key, "mod", "==", revision))
        self.watched.append(key)

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        self.writes.append(Put(key, value, lease))

    def delete(self, key: str) -> None:
        self.writes.append(Delete(key))


@dataclass(slots=True, frozen=True)
class Committed:
    revision: int


@dataclass(slots=True, frozen=True)
class Refused:
    """A condition did not hold; `current` is what the watched keys hold instead, all at one revision."""

    current: dict[str, KeyValue | None]
    revision: int


@contextmanager
def translated() -> Iterator[None]:
    """The store's errors as Status errors."""
    try:
        yield
    except store_errors.Unavailable as error:
        raise errors.unavailable(f"the store is not available: {error}") from error
    except store_errors.OutcomeUnknown as error:
        raise errors.outcome_unknown(str(error)) from error
    except store_errors.Fenced as error:
        raise errors.fenced(str(error)) from error
    except store_errors.TooLarge as error:
        raise errors.too_large() from error
    except store_errors.StoreError as error:
        raise errors.internal(f"store: {error}") from error


def parse_fence(header: str) -> Fence | None:
    """The `Timonier-Fence: role=epoch` header."""
    if not header:
        return None
    role, _, epoch = header.partition("=")
    if not role or not epoch.isdecimal():
        raise errors.bad_request(f"invalid Timonier-Fence header {header!r}: want role=epoch")
    return Fence(role, int(epoch))


class Storage:
    def __init__(self, client: Store) -> None:
        self._client = client

    async def commit(self, transaction: Transaction, fence: Fence | None = None) -> Committed | Refused:
        reads = [Get(key) for key in transaction.watched]
        with translated():
            result = await self._client.txn(transaction.compares, [*transaction.writes], [*reads], fence=fence)
        if result.succeeded:
            return Committed(result.revision)
        found = (kv if isinstance(kv, KeyValue) else None for kv in result.results)
        return Refused(dict(zip(transaction.watched, found, strict=True)), result.revision)


class ReadIndex:
    """The store's current revision, one round for all readers that came before it started.

    A reader may not join a round that is under way: the round may have read the revision before a write that the
    reader has already seen acknowledged.
    """

    def __init__(self, client: Store) -> None:
        self._client = client
        self._running: asyncio.Task[int] | None = None
        self._queued: asyncio.Task[int] | None = None

    async def current(self) -> int:
        if self._queued is None:
            self._queued = asyncio.create_task(self._round(self._running))
        try:
            with translated():
                return await asyncio.shield(self._queued)
        except status.OutcomeUnknown as error:  # a read has no outcome to be unsure of
            raise errors.unavailable(error.status.message) from error

    async def _round(self, before: asyncio.Task[int] | None) -> int:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._running, self._queued = self._queued, None
        return await self._client.current_revision()
