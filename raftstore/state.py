"""The replicated state machine: what every member computes from the log, alike to the last byte. Pure.

One log entry is a `Batch`: the leader's reading of the cluster's clock and the proposals that it gathered in one
tick. Nothing here reads a clock, draws a random number or depends on the order of a hash table, and no command
that passed `check_command` can raise: a failure here would be the same on every member and stop them all.

A snapshot is a run of chunks: first `Header`, then lists of keys as of the compaction revision, then the
events since.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec
from msgspec import Raw, Struct

from raftstore import transaction
from raftstore.errors import Compacted, FatalStoreError, FutureRevision, InvalidArgument
from raftstore.lease import MAX_TTL_MS, MIN_TTL_MS, LeaseTable
from raftstore.mvcc import KeySpace, SpaceView
from raftstore.protocol import (
    Command,
    Compact,
    Done,
    ExpireSessions,
    KeyValue,
    LeaseGrant,
    LeaseGranted,
    LeaseRevoke,
    OpenSession,
    Proposal,
    Refused,
    Result,
    SessionOpened,
    Txn,
    WatchEvent,
)
from raftstore.session import Session, SessionTable

# Small enough that encoding one chunk does not delay a heartbeat (2 ms at 2 KB a value).
_KEYS_PER_CHUNK: Final = 200


class Batch(Struct, array_like=True):
    """A log entry as it is read: the cluster's clock and the proposals of one tick."""

    time_ms: int
    proposals: list[Proposal]


class RawBatch(Struct, array_like=True):
    """A log entry as it is written: the proposals are the clients' own bytes."""

    time_ms: int
    proposals: list[Raw]


class Header(Struct, array_like=True):
    """A snapshot's first chunk: everything but the keys."""

    revision: int
    compact_revision: int
    time_ms: int
    next_session: int
    sessions: dict[int, Session]
    next_lease: int
    lease_ttls_ms: dict[int, int]
    fences: dict[str, int]
    base_count: int
    event_count: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_BATCH_DECODER: Final = msgspec.msgpack.Decoder(Batch)
_HEADER_DECODER: Final = msgspec.msgpack.Decoder(Header)
_KEYS_DECODER: Final = msgspec.msgpack.Decoder(list[KeyValue])
_EVENTS_DECODER: Final = msgspec.msgpack.Decoder(list[WatchEvent])


def encode_batch(time_ms: int, proposals: list[Raw]) -> bytes:
    """A log entry's payload."""
    return _ENCODER.encode(RawBatch(time_ms, proposals))


def check_command(command: Command) -> None:
    """Refuse, before it is proposed, what could not be applied."""
    if isinstance(command, Txn):
        transaction.check(command)
    elif isinstance(command, LeaseGrant) and not MIN_TTL_MS <= command.ttl_ms <= MAX_TTL_MS:
        raise InvalidArgument(f"a lease lives between {MIN_TTL_MS} and {MAX_TTL_MS} ms, not {command.ttl_ms}")


class StateMachine:
    """Keys, leases, sessions and fences, and the cluster's clock as of the last entry."""

    def __init__(self) -> None:
        self.space = KeySpace()
        self.leases = LeaseTable()
        self.sessions = SessionTable()
        self.fences: dict[str, int] = {}
        self.time_ms = 0

    def apply(self, payload: bytes) -> list[Result]:
        """Carry out one log entry; a result for each of its proposals."""
        try:
            batch = _BATCH_DECODER.decode(payload)
        except msgspec.DecodeError as error:
            raise FatalStoreError(f"a committed entry cannot be read by this version: {error}") from error
        self.time_ms = max(self.time_ms, batch.time_ms)
        return [self._apply_once(proposal) for proposal in batch.proposals]

    def _apply_once(self, proposal: Proposal) -> Result:
        if not proposal.session:
            return self._apply(proposal.command)
        sessions = self.sessions
        result = sessions.earlier_result(proposal.session, proposal.sequence, proposal.acknowledged, self.time_ms)
        if result is None:
            result = self._apply(proposal.command)
            sessions.keep(proposal.session, proposal.sequence, result)
        return result

    def _apply(self, command: Command) -> Result:
        match command:
            case Txn():
                return self._fenced(command) or transaction.execute(command, self.space, self.leases)
            case OpenSession():
                return SessionOpened(self.sessions.open(self.time_ms))
            case LeaseGrant(ttl_ms):
                return LeaseGranted(self.leases.grant(ttl_ms), ttl_ms)
            case LeaseRevoke(lease):
                return self._revoke(lease)
            case Compact(revision):
                return self._compact(revision)
            case ExpireSessions(idle_since_ms):
                self.sessions.expire(idle_since_ms)
                return Done(self.space.revision)

    def _fenced(self, txn: Txn) -> Refused | None:
        if txn.fence is None:
            return None
        role, epoch = txn.fence.role, txn.fence.epoch
        newest = self.fences.get(role, epoch)
        if epoch < newest:
            return Refused("fenced", f"epoch {epoch} of {role} is over: {newest} has been seen")
        self.fences[role] = epoch
        return None

    def _revoke(self, lease: int) -> Result:
        if lease not in self.leases:
            return Refused("invalid", f"lease {lease} does not exist")
        revision = self.space.revision + 1
        if transaction.delete_keys(self.leases.revoke(lease), self.space, self.leases, revision):
            self.space.revision = revision
        return Done(self.space.revision)

    def _compact(self, revision: int) -> Result:
        try:
            self.space.compact(revision)
        except Compacted as error:
            return Refused("compacted", str(error), error.compact_revision)
        except FutureRevision as error:
            return Refused("future", str(error))
        return Done(self.space.revision)

    # --- snapshots

    def capture(self) -> Iterator[bytes]:
        """A snapshot's chunks, of the state as it is now; each is encoded only when it is asked for."""
        view = self.space.view()
        base = list(view.base())
        header = Header(
            view.revision,
            view.compact_revision,
            self.time_ms,
            self.sessions.next_id,
            self.sessions.sessions,
            self.leases.next_id,
            self.leases.ttls_ms(),
            self.fences,
            len(base),
            len(view.events),
        )
        return _chunks(_ENCODER.encode(header), base, view)

    def restore(self, chunks: Iterator[bytes]) -> None:
        """Become the state that was captured."""
        header = _HEADER_DECODER.decode(next(chunks))
        base = (kv for chunk in islice(chunks, _chunk_count(header.base_count)) for kv in _KEYS_DECODER.decode(chunk))
        events = (event for chunk in chunks for event in _EVENTS_DECODER.decode(chunk))
        self.space.restore(header.revision, header.compact_revision, base, events)
        self.time_ms = header.time_ms
        self.sessions.next_id = header.next_session
        self.sessions.sessions = header.sessions
        self.fences = header.fences
        self.leases.restore(header.next_lease, header.lease_ttls_ms)
        for kv in self.space.live():
            if kv.lease:
                self.leases.moved(None, kv)


def _chunk_count(items: int) -> int:
    return -(-items // _KEYS_PER_CHUNK)


def _chunks(header: bytes, base: list[KeyValue], view: SpaceView) -> Iterator[bytes]:
    yield header
    for start in range(0, len(base), _KEYS_PER_CHUNK):
        yield _ENCODER.encode(base[start : start + _KEYS_PER_CHUNK])
    for start in range(0, len(view.events), _KEYS_PER_CHUNK):
        # A former value is in the base or in an earlier event: it is not written twice.
        yield _ENCODER.encode([WatchEvent(e.type, e.kv) for e in view.events[start : start + _KEYS_PER_CHUNK]])
