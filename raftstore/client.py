"""The asyncio client: one object, any of several members, each write applied once.

A write carries a session and a sequence; while its outcome is open it is repeated under the same sequence, to
whichever member answers, until the time allowed is over. Only then does the caller learn `OutcomeUnknown`; or
`Unavailable`, if no member can have taken it. Reads are simply repeated. A watch has a connection of its own and
resumes by itself where it broke off.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from raftstore.connection import Connection, ConnectionLost, SessionExpired, as_exception
from raftstore.errors import InvalidArgument, OutcomeUnknown, TooLarge, Unavailable
from raftstore.frames import AskStatus, Events, Failure, Keepalive, Read, StartWatch, Write
from raftstore.protocol import (
    MAX_REQUEST_BYTES,
    Command,
    Compact,
    Compare,
    Delete,
    DeletePrefix,
    Done,
    Fence,
    Get,
    GetQuery,
    KeyValue,
    LeaseGrant,
    LeaseGranted,
    LeaseRevoke,
    OpenSession,
    Operation,
    Proposal,
    Put,
    PutResult,
    Query,
    RangeQuery,
    RangeResult,
    RevisionQuery,
    SessionOpened,
    StoreStatus,
    Txn,
    TxnResult,
    WatchBatch,
    WatchEvent,
)

__all__ = ["Compare", "Delete", "DeletePrefix", "Fence", "Get", "KeyValue", "Put", "StoreClient", "WatchBatch"]

_SCHEME: Final = "unix:"
_CONNECT_TIMEOUT_S: Final = 1.0
_ATTEMPT_TIMEOUT_S: Final = 1.5
_FIRST_BACKOFF_S: Final = 0.01
_LONGEST_BACKOFF_S: Final = 0.25
# After so many refusals in a row another member is asked, should there be one: this one may be cut off.
_REFUSALS_BEFORE_NEXT: Final = 4
_MAX_WRITES_UNDER_WAY: Final = 4096
# A member speaks each second on every watch; after this silence another one is asked.
_WATCH_SILENCE_S: Final = 5.0

_ENCODER: Final = msgspec.msgpack.Encoder()
_EVENTS: Final = msgspec.msgpack.Decoder(list[WatchEvent])
_T = TypeVar("_T")


class StoreClient:
    """A client of the store; safe for any number of tasks of one event loop."""

    def __init__(self, endpoints: Sequence[str], *, timeout_s: float = 5.0) -> None:
        if not endpoints or not all(endpoint.startswith(_SCHEME) for endpoint in endpoints):
            raise InvalidArgument("endpoints are unix:/path/of/socket, at least one")
        self._paths = [endpoint.removeprefix(_SCHEME) for endpoint in endpoints]
        self._timeout_s = timeout_s
        self._position = 0
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._session = 0
        self._opening_session = asyncio.Lock()
        self._sequences = itertools.count(1)
        self._open_sequences: dict[int, None] = {}
        self._acknowledged = 0
        self._under_way = asyncio.Semaphore(_MAX_WRITES_UNDER_WAY)
        self._closed = False

    async def close(self) -> None:
        """Hang up; what is under way fails."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    # --- reads

    async def get(self, key: str, *, revision: int = 0, linearizable: bool = True) -> KeyValue | None:
        """One key, now or at a revision."""
        return await self._read(GetQuery(key, revision), linearizable, _KEY_VALUE)

    async def range(
        self, prefix: str, *, revision: int = 0, limit: int = 0, start_key: str = "", linearizable: bool = True
    ) -> RangeResult:
        """Keys under a prefix at one revision; without a limit all of them, fetched page by page."""
        query = RangeQuery(prefix, start_key, revision, limit)
        result = await self._read(query, linearizable, _RANGE)
        kvs = list(result.kvs)
        more, count = result.more, result.count
        while more and (not limit or len(kvs) < limit):
            # What a page is missing is read at the page's revision, so the whole is one picture.
            rest = RangeQuery(prefix, kvs[-1].key + "\0", result.revision, limit - len(kvs) if limit else 0)
            page = await self._read(rest, linearizable, _RANGE)
            kvs += page.kvs
            more = page.more
        return RangeResult(kvs, result.revision, more, count)

    async def current_revision(self) -> int:
        """The revision that every write acknowledged before this call is part of."""
        return await self._read(RevisionQuery(), True, _REVISION)

    async def status(self) -> StoreStatus:
        """The view of the member this client is connected to."""
        return _STATUS.decode(await self._retry(lambda number: _ENCODER.encode(AskStatus(number))))

    async def _read(self, query: Query, linearizable: bool, decoder: "msgspec.msgpack.Decoder[_T]") -> _T:
        return decoder.decode(await self._retry(lambda number: _ENCODER.encode(Read(number, query, linearizable))))

    # --- writes

    async def txn(
        self,
        compares: Sequence[Compare],
        success: Sequence[Operation],
        failure: Sequence[Operation] = (),
        *,
        fence: Fence | None = None,
    ) -> TxnResult:
        """Compare, then do one thing or the other, at one revision."""
        return await self._write(Txn(list(compares), list(success), list(failure), fence), _TXN)

    async def put(self, key: str, value: bytes, *, lease: int = 0) -> PutResult:
        """Write a key."""
        return PutResult((await self.txn([], [Put(key, value, lease)])).revision)

    async def delete(self, key: str) -> KeyValue | None:
        """Delete a key; what it was, or None if it was not there."""
        deleted = (await self.txn([], [Delete(key)])).results[0]
        assert not isinstance(deleted, int)
        return deleted

    async def delete_prefix(self, prefix: str) -> int:
        """Delete every key under a prefix at one revision; how many there were."""
        count = (await self.txn([], [DeletePrefix(prefix)])).results[0]
        assert isinstance(count, int)
        return count

    async def lease_grant(self, ttl_s: float) -> int:
        """A lease that ends when it is not kept alive for so long."""
        return (await self._write(LeaseGrant(round(ttl_s * 1000)), _LEASE)).lease

    async def lease_keepalive(self, lease: int) -> None:
        """Start a lease's time anew; InvalidArgument if it has ended."""
        await self._retry(lambda number: _ENCODER.encode(Keepalive(number, lease)))

    async def lease_revoke(self, lease: int) -> None:
        """End a lease now, and delete its keys."""
        await self._write(LeaseRevoke(lease), _DONE)

    async def compact(self, revision: int) -> None:
        """Forget history before a revision."""
        await self._write(Compact(revision), _DONE)

    async def _write(self, command: Command, decoder: "msgspec.msgpack.Decoder[_T]") -> _T:
        async with self._under_way:
            deadline_s = self._deadline_s()
            while True:
                session = self._session or await self._open_session(deadline_s)
                sequence = next(self._sequences)
                self._open_sequences[sequence] = None
                try:
                    return decoder.decode(await self._propose(session, sequence, command, deadline_s))
                except SessionExpired:
                    # It was the first attempt, so nothing has been applied: begin anew.
                    if self._session == session:
                        self._session = 0
                finally:
                    self._close_sequence(sequence)

    async def _propose(self, session: int, sequence: int, command: Command, deadline_s: float) -> Raw:
        proposal = Raw(_ENCODER.encode(Proposal(session, sequence, self._acknowledged, command)))
        if len(proposal) > MAX_REQUEST_BYTES:
            raise TooLarge(f"a request of {len(proposal)} bytes; at most {MAX_REQUEST_BYTES} are allowed")
        return await self._retry(
            lambda number: _ENCODER.encode(Write(number, proposal)), is_write=True, deadline_s=deadline_s
        )

    async def _open_session(self, deadline_s: float) -> int:
        async with self._opening_session:
            if not self._session:
                proposal = Raw(_ENCODER.encode(Proposal(0, 0, 0, OpenSession())))
                # A session opened in vain, by a repetition, expires by itself.
                answer = await self._retry(
                    lambda number: _ENCODER.encode(Write(number, proposal)), deadline_s=deadline_s
                )
                self._session = _SESSION.decode(answer).session
            return self._session

    def _close_sequence(self, sequence: int) -> None:
        """Everything before the oldest open sequence has been answered: the store may forget those results."""
        del self._open_sequences[sequence]
        self._acknowledged = next(iter(self._open_sequences), sequence + 1) - 1

    # --- asking until there is an answer

    async def _retry(self, encode: Any, *, is_write: bool = False, deadline_s: float | None = None) -> Raw:
        deadline_s = deadline_s or self._deadline_s()
        backoff_s = _FIRST_BACKOFF_S
        refusals = 0
        maybe_applied = False
        cause: Exception
        while True:
            sent = False
            try:
                connection = await self._connected()
                sent = True
                return await self._ask(connection, encode, deadline_s)
            except SessionExpired as error:
                if maybe_applied:
                    raise OutcomeUnknown("the session expired while the write was under way") from error
                raise
            except Unavailable as error:
                cause = error
                refusals += sent
                if refusals >= _REFUSALS_BEFORE_NEXT:
                    refusals = 0
                    self._next_endpoint()
            except (OutcomeUnknown, ConnectionLost) as error:
                maybe_applied, cause = True, error
            if self._closed or self._loop_time() + backoff_s >= deadline_s:
                raise _failed(cause, is_write and maybe_applied)
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    async def _ask(self, connection: Connection, encode: Any, deadline_s: float) -> Raw:
        future = connection.request(encode)
        if len(self._paths) > 1:
            # A member that hangs must not cost all the time there is while others could answer.
            deadline_s = min(deadline_s, self._loop_time() + _ATTEMPT_TIMEOUT_S)
        try:
            async with asyncio.timeout_at(deadline_s):
                return await future
        except TimeoutError as error:
            connection.forget(future)
            self._next_endpoint()
            raise OutcomeUnknown("no answer in time") from error

    async def _connected(self) -> Connection:
        connection = self._connection
        if connection is not None and not connection.is_lost:
            return connection
        async with self._connecting:
            if self._connection is None or self._connection.is_lost:
                if self._connection is not None:
                    self._position += 1
                self._connection = await self._connect_any()
            return self._connection

    async def _connect_any(self) -> Connection:
        error: Exception | None = None
        for _ in self._paths:
            try:
                return await self._connect(self._paths[self._position % len(self._paths)])
            except (OSError, TimeoutError) as failed:
                error = failed
                self._position += 1
        raise Unavailable(f"no member can be reached: {error}")

    async def _connect(self, path: str) -> Connection:
        if self._closed:
            raise Unavailable("the client is closed")
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, path)
        return connection

    def _next_endpoint(self) -> None:
        if len(self._paths) > 1 and self._connection is not None:
            self._connection.close()

    def _deadline_s(self) -> float:
        return self._loop_time() + self._timeout_s

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()

    # --- watches

    async def watch(self, prefix: str, *, start_revision: int, with_previous: bool = True) -> AsyncIterator[WatchBatch]:
        """Every event under a prefix from a revision on (0: from the next), in order, for as long as it is read.

        An empty batch reports progress. Lost connections and changed leaders are survived without a gap or a
        repetition; `Compacted` is raised when the history needed is gone.
        """
        next_revision = start_revision or await self.current_revision() + 1
        position = self._position
        backoff_s = _FIRST_BACKOFF_S
        while not self._closed:
            try:
                connection = await self._connect(self._paths[position % len(self._paths)])
            except (OSError, TimeoutError):
                connection = None
            if connection is not None:
                request = StartWatch(1, prefix, next_revision, with_previous)
                connection.start(lambda number, request=request: _ENCODER.encode(request))  # type: ignore[misc]
                try:
                    async for batch in _batches(connection):
                        if batch.revision >= next_revision or not batch.events:
                            next_revision = max(next_revision, batch.revision + 1)
                            backoff_s = _FIRST_BACKOFF_S
                            yield batch
                finally:
                    connection.close()
            position += 1
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)


async def _batches(connection: Connection) -> AsyncIterator[WatchBatch]:
    """Whole batches from a watch's frames, until the connection or the member's willingness ends."""
    events: list[WatchEvent] = []
    while True:
        try:
            async with asyncio.timeout(_WATCH_SILENCE_S):
                frame = await connection.next_event()
        except TimeoutError:
            return
        match frame:
            case Events(_, revision, data, more):
                events += _EVENTS.decode(data)
                if not more:
                    yield WatchBatch(revision, events)
                    events = []
            case Failure():
                error = as_exception(frame)
                if isinstance(error, Unavailable):
                    return
                raise error
            case None:
                return


def _failed(cause: Exception, outcome_unknown: bool) -> Exception:
    if outcome_unknown:
        return OutcomeUnknown(f"the write may have been applied: {cause}")
    return Unavailable(str(cause))


_KEY_VALUE: Final[msgspec.msgpack.Decoder[KeyValue | None]] = msgspec.msgpack.Decoder(KeyValue | None)
_RANGE: Final = msgspec.msgpack.Decoder(RangeResult)
_REVISION: Final = msgspec.msgpack.Decoder(int)
_STATUS: Final = msgspec.msgpack.Decoder(StoreStatus)
_TXN: Final = msgspec.msgpack.Decoder(TxnResult)
_LEASE: Final = msgspec.msgpack.Decoder(LeaseGranted)
_DONE: Final = msgspec.msgpack.Decoder(Done)
_SESSION: Final = msgspec.msgpack.Decoder(SessionOpened)
