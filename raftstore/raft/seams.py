"""What the Raft core needs from the world, as protocols: production and simulation differ only in these."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from msgspec import Struct
from pysyncobj.node import Node

from raftstore.raft.messages import Entry, PeerMessage


@dataclass(frozen=True, slots=True)
class Environment:
    """Time and chance."""

    monotonic_s: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=Random)


class Tuning(Struct, frozen=True):
    """Times and sizes of the Raft core."""

    election_min_s: float = 1.0
    election_max_s: float = 2.0
    heartbeat_s: float = 0.1
    # A lone write's commit is told to followers at once; among many it rides on the next entry.
    commit_notice_s: float = 0.002
    append_bytes: int = 1 << 20
    window_bytes: int = 4 << 20
    snapshot_chunk_bytes: int = 1 << 18
    snapshot_every_entries: int = 50_000
    snapshot_every_bytes: int = 64 << 20
    # A follower that is at most this far behind is brought up from the log rather than by a snapshot.
    tail_entries: int = 10_000
    tail_bytes: int = 32 << 20
    # How long one tick may go on encoding a snapshot.
    snapshot_slice_s: float = 0.002


class PeerNode(Node):  # type: ignore[misc]  # PySyncObj has no types
    """A member by name. Names, not addresses, are identities."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._hash = hash(name)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Node) and self._id == other.id)

    @property
    def name(self) -> str:
        """The member's name."""
        name: str = self._id
        return name


class Journal(Protocol):
    """The log on disk. It extends PySyncObj's journal: nothing counts before `sync` has returned."""

    def __len__(self) -> int: ...
    def __getitem__(self, position: Any) -> Any: ...
    def add(self, command: bytes, idx: int, term: int) -> None: ...
    def deleteEntriesFrom(self, entryFrom: int) -> None: ...
    def deleteEntriesTo(self, entryTo: int) -> None: ...
    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None: ...
    def getCurrentTerm(self) -> int: ...
    def getVotedForNodeId(self) -> str | None: ...
    def setRaftCommitIndex(self, raftCommitIndex: int) -> None: ...
    def getRaftCommitIndex(self) -> int: ...
    def onOneSecondTimer(self) -> None: ...
    def _destroy(self) -> None: ...
    def entries(self, first_index: int, last_index: int) -> list[Entry]: ...
    def restart_at(self, index: int, term: int) -> None: ...
    def sync(self) -> None: ...

    @property
    def is_dirty(self) -> bool: ...
    @property
    def durable_index(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...


class SnapshotMeta(Struct, frozen=True, array_like=True):
    """Which prefix of the log a snapshot stands for."""

    index: int
    term: int
    members: list[str]


class SnapshotSource(Protocol):
    """A finished snapshot file that is being sent."""

    snapshot_id: str
    meta: SnapshotMeta
    total_bytes: int

    def read(self, offset: int, count: int) -> bytes: ...
    def close(self) -> None: ...


class Snapshots(Protocol):
    """The snapshot on disk: written in slices, sent and received in pieces, swapped in whole."""

    @property
    def meta(self) -> SnapshotMeta | None: ...
    @property
    def is_busy(self) -> bool: ...
    @property
    def is_encoding(self) -> bool: ...
    def load(self) -> Iterator[bytes]: ...
    def begin(self, meta: SnapshotMeta, chunks: Iterator[bytes]) -> None: ...
    def step(self, budget_s: float) -> SnapshotMeta | None: ...
    def open_for_sending(self) -> SnapshotSource | None: ...
    def receive(self, snapshot_id: str, offset: int, data: bytes, total_bytes: int) -> int: ...
    def install(self) -> SnapshotMeta | None: ...


class Machine(Protocol):
    """The replicated state machine."""

    def apply(self, payload: bytes) -> Any: ...
    def capture(self) -> Iterator[bytes]: ...
    def restore(self, chunks: Iterator[bytes]) -> None: ...


class RaftTransport(Protocol):
    """PySyncObj's transport, as far as the core uses it: messages in order, or not at all."""

    def send(self, node: Node, message: PeerMessage) -> bool: ...
