"""A deterministic world for the Raft core: virtual time, links that delay, part and break, disks that forget.

The core under test is the real one; only clock, chance, journal, snapshots and transport are of this world. A
crash loses whatever the journal had not synced. The world checks, as it goes: no two members apply different
entries at one index, no term has two leaders, no acknowledged write is missing from a later linearizable read.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pysyncobj.transport import Transport

from raftstore.raft.base import SUCCESS
from raftstore.raft.core import RaftCore
from raftstore.raft.messages import Entry
from raftstore.raft.seams import Environment, SnapshotMeta, Tuning
from raftstore.raft.transport import _BEFORE_SYNC

TICK_S = 0.02
ORPHAN = -1
TUNING = Tuning(
    election_min_s=0.5,
    election_max_s=1.0,
    heartbeat_s=0.1,
    append_bytes=60,
    window_bytes=200,
    snapshot_chunk_bytes=64,
    snapshot_every_entries=25,
    tail_entries=8,
    tail_bytes=1000,
)


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Disk:
    """What survives a crash."""

    log: list[Entry] = field(default_factory=lambda: [(b"\x01", 1, 0)])
    term: int = 0
    vote: str | None = None
    commit_index: int = 1
    snapshot: tuple[SnapshotMeta, list[bytes]] | None = None


class SimulatedJournal:
    """A journal of which only what was synced reaches the disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.log = list(disk.log)
        self.term, self.vote = disk.term, disk.vote
        self.commit_index = self.written_commit = disk.commit_index
        self.durable_index = self.log[-1][1]
        self.is_dirty = False

    def __len__(self) -> int:
        return len(self.log)

    def __getitem__(self, position: Any) -> Any:
        return self.log[position]

    def entries(self, first_index: int, last_index: int) -> list[Entry]:
        base = self.log[0][1]
        return self.log[first_index - base : last_index + 1 - base]

    def add(self, command: bytes, idx: int, term: int) -> None:
        assert idx == self.log[-1][1] + 1
        self.log.append((command, idx, term))
        self.is_dirty = True

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        self.durable_index = min(self.durable_index, self.log[entryFrom][1] - 1)
        del self.log[entryFrom:]
        self.is_dirty = True

    def deleteEntriesTo(self, entryTo: int) -> None:
        del self.log[:entryTo]

    def restart_at(self, index: int, term: int) -> None:
        self.log = [(b"\x01", index, term)]
        self.durable_index = min(self.durable_index, index)
        self.is_dirty = True

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        self.term, self.vote, self.is_dirty = term, votedForNodeId, True

    def getCurrentTerm(self) -> int:
        return self.term

    def getVotedForNodeId(self) -> str | None:
        return self.vote

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        self.commit_index = raftCommitIndex

    def getRaftCommitIndex(self) -> int:
        return self.written_commit

    def onOneSecondTimer(self) -> None:
        self.written_commit, self.is_dirty = self.commit_index, True

    def _destroy(self) -> None:
        pass

    @property
    def size_bytes(self) -> int:
        return sum(len(entry[0]) for entry in self.log)

    def sync(self) -> None:
        disk = self.disk
        disk.log, disk.term, disk.vote, disk.commit_index = list(self.log), self.term, self.vote, self.written_commit
        self.durable_index = self.log[-1][1]
        self.is_dirty = False


class SimulatedSnapshots:
    """Snapshots that take a while to be written."""

    def __init__(self, disk: Disk, world: "World") -> None:
        self.disk, self.world = disk, world
        self.job: tuple[float, SnapshotMeta, list[bytes]] | None = None
        self.received: tuple[str, bytearray] | None = None

    @property
    def meta(self) -> SnapshotMeta | None:
        return self.disk.snapshot[0] if self.disk.snapshot else None

    @property
    def is_busy(self) -> bool:
        return self.job is not None

    @property
    def is_encoding(self) -> bool:
        return False

    def load(self) -> Iterator[bytes]:
        assert self.disk.snapshot is not None
        return iter(self.disk.snapshot[1])

    def begin(self, meta: SnapshotMeta, chunks: Iterator[bytes]) -> None:
        self.job = (self.world.now_s + self.world.random.uniform(0, 0.3), meta, list(chunks))

    def step(self, budget_s: float) -> SnapshotMeta | None:
        if self.job is None or self.world.now_s < self.job[0]:
            return None
        _, meta, chunks = self.job
        self.job = None
        if self.meta is None or self.meta.index < meta.index:
            self.disk.snapshot = (meta, chunks)
        return self.meta

    def open_for_sending(self) -> "SimulatedSource | None":
        return SimulatedSource(*self.disk.snapshot) if self.disk.snapshot else None

    def receive(self, snapshot_id: str, offset: int, data: bytes, total_bytes: int) -> int:
        if self.received is None or self.received[0] != snapshot_id:
            self.received = (snapshot_id, bytearray())
        buffer = self.received[1]
        if offset == len(buffer):
            buffer += data
        return len(buffer)

    def install(self) -> SnapshotMeta | None:
        assert self.received is not None
        snapshot_id, data = self.received
        self.received = None
        index, term = (int(part) for part in snapshot_id.split("-"))
        self.disk.snapshot = (SnapshotMeta(index, term, []), [bytes(data)])
        return self.disk.snapshot[0]


class SimulatedSource:
    """A snapshot on its way."""

    def __init__(self, meta: SnapshotMeta, chunks: list[bytes]) -> None:
        self.meta, self.data = meta, b"".join(chunks)
        self.total_bytes = len(self.data)
        self.snapshot_id = f"{meta.index}-{meta.term}"

    def read(self, offset: int, count: int) -> bytes:
        return self.data[offset : offset + count]

    def close(self) -> None:
        pass


class Recorder:
    """A state machine: the list of everything applied."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.applied: list[int] = []

    def apply(self, payload: bytes) -> int:
        value = int(payload)
        self.applied.append(value)
        self.world.check_applied(len(self.applied), value, self.name)
        return value

    def capture(self) -> Iterator[bytes]:
        return iter([b" ".join(b"%d" % value for value in self.applied)])

    def restore(self, chunks: Iterator[bytes]) -> None:
        self.applied = [int(word) for word in next(chunks).split()]


class SimulatedTransport(Transport):
    """Hands messages to the world, before and after the sync as the real one does."""

    def __init__(self, world: "World", name: str, journal: SimulatedJournal) -> None:
        super().__init__(None, None, [])
        self.world, self.name, self.journal = world, name, journal
        self.out: list[tuple[str, Any]] = []

    def send(self, node: Any, message: Any) -> bool:
        if (min(self.name, node.id), max(self.name, node.id)) not in self.world.connections:
            return False
        self.out.append((node.id, message))
        return True

    def flush(self) -> None:
        out, self.out = self.out, []
        for name, message in out:
            if isinstance(message, _BEFORE_SYNC):
                self.world.post(self.name, name, message)
        if self.world.crash_in_sync(self.name):
            return
        if self.journal.is_dirty:
            self.journal.sync()
        for name, message in out:
            if not isinstance(message, _BEFORE_SYNC):
                self.world.post(self.name, name, message)


class World:
    """Members, links and time."""

    def __init__(self, seed: int, size: int = 3, *, crash_rate: float = 0.0) -> None:
        self.random = Random(seed)
        self.now_s = 0.0
        self.crash_rate = crash_rate
        self.names = [f"m{number}" for number in range(size)]
        self.disks = {name: Disk() for name in self.names}
        self.cores: dict[str, Any] = {}
        self.machines: dict[str, Recorder] = {}
        self.transports: dict[str, SimulatedTransport] = {}
        self.paused: set[str] = set()
        self.crashed_in_sync: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.connections: dict[tuple[str, str], int] = {}
        self.epoch = itertools.count(1)
        self.order = itertools.count()
        self.mail: list[tuple[float, int, int, str, str, Any]] = []
        self.held: dict[str, list[tuple[int, str, str, Any]]] = {}
        self.last_arrival: dict[tuple[str, str], float] = {}
        self.canonical: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()
        self.values = itertools.count(1)
        self.leaders: dict[int, str] = {}
        self.reads_done = 0
        self.waiting_reads: list[tuple[str, Any, int, set[int]]] = []
        for name in self.names:
            self.start(name)

    # --- members

    def start(self, name: str) -> None:
        journal = SimulatedJournal(self.disks[name])
        transport = SimulatedTransport(self, name, journal)
        self.machines[name] = Recorder(self, name)
        self.transports[name] = transport
        self.cores[name] = RaftCore(
            name,
            [other for other in self.names if other != name],
            journal=journal,
            snapshots=SimulatedSnapshots(self.disks[name], self),
            machine=self.machines[name],
            transport=transport,
            environment=Environment(lambda: self.now_s, self.random),
            tuning=TUNING,
        )

    def crash(self, name: str) -> None:
        self.cores.pop(name, None)
        # What has left a crashed machine still arrives, or does not.
        self.mail = [
            (*letter[:2], ORPHAN if letter[3] == name and self.random.random() < 0.5 else letter[2], *letter[3:])
            for letter in self.mail
        ]
        for other in self.names:
            self.disconnect(name, other)

    def crash_in_sync(self, name: str) -> bool:
        if self.crash_rate and self.random.random() < self.crash_rate:
            self.crashed_in_sync.add(name)
            return True
        return False

    # --- links

    def disconnect(self, one: str, other: str) -> None:
        pair = (min(one, other), max(one, other))
        if self.connections.pop(pair, None) is not None:
            for here, there in (pair, pair[::-1]):
                if here in self.cores:
                    transport = self.transports[here]
                    transport._onNodeDisconnected(self.node(here, there))

    def node(self, here: str, there: str) -> Any:
        return next(node for node in self.cores[here].otherNodes if node.id == there)

    def maintain_links(self) -> None:
        for one, other in itertools.combinations(self.names, 2):
            pair = (one, other)
            up = one in self.cores and other in self.cores and pair not in self.cut
            if up and pair not in self.connections:
                self.connections[pair] = next(self.epoch)
                self.transports[one]._onNodeConnected(self.node(one, other))
                self.transports[other]._onNodeConnected(self.node(other, one))

    def post(self, source: str, target: str, message: Any) -> None:
        pair = (min(source, target), max(source, target))
        epoch = self.connections.get(pair)
        if epoch is None or pair in self.cut:
            return
        delay = self.random.expovariate(1 / 0.005)
        arrival = max(self.now_s + delay, self.last_arrival.get((source, target), 0.0))
        self.last_arrival[source, target] = arrival
        heapq.heappush(self.mail, (arrival, next(self.order), epoch, source, target, message))

    # --- time

    def run(self, seconds: float) -> None:
        end = self.now_s + seconds
        while self.now_s < end:
            self.maintain_links()
            for name in [name for name in self.held if name not in self.paused]:
                for letter in self.held.pop(name):
                    heapq.heappush(self.mail, (self.now_s, next(self.order), *letter))
            for name in list(self.cores):
                self.turn(name)
            tick_end = self.now_s + TICK_S
            while self.mail and self.mail[0][0] <= tick_end:
                self.now_s, _, epoch, source, target, message = heapq.heappop(self.mail)
                pair = (min(source, target), max(source, target))
                if target in self.paused:
                    self.held.setdefault(target, []).append((epoch, source, target, message))
                elif target in self.cores and epoch in (ORPHAN, self.connections.get(pair)):
                    self.transports[target]._onMessageReceived(self.node(target, source), message)
                    self.turn(target)
            self.now_s = tick_end

    def turn(self, name: str) -> None:
        core = self.cores.get(name)
        if core is None or name in self.paused:
            return
        core.doTick()
        self.transports[name].flush()
        if name in self.crashed_in_sync:
            self.crashed_in_sync.discard(name)
            self.crash(name)
            return
        if core.is_leader and self.leaders.setdefault(core.raftCurrentTerm, name) != name:
            raise Violation(f"term {core.raftCurrentTerm} has two leaders")
        self.finish_reads()

    def until(self, condition: Any, seconds: float = 30.0) -> None:
        end = self.now_s + seconds
        while not condition():
            if self.now_s > end:
                raise Violation(f"not within {seconds} s")
            self.run(TICK_S)

    @property
    def leader(self) -> str | None:
        """The leader of the newest term among those that believe they lead."""
        leading = [name for name, core in self.cores.items() if core.is_leader and name not in self.paused]
        return max(leading, key=lambda name: self.cores[name].raftCurrentTerm, default=None)

    # --- clients

    def write(self, name: str) -> int:
        value = next(self.values)

        def decided(result: int | None, outcome: int) -> None:
            if outcome == SUCCESS:
                if result != value:
                    raise Violation(f"write {value} was answered with {result}")
                self.acknowledged.add(value)
            else:
                self.refused.add(value)

        self.cores[name].propose(b"%d" % value, decided)
        return value

    def read(self, name: str) -> None:
        core, must_see = self.cores[name], set(self.acknowledged)

        def found(index: int) -> None:
            if index:
                self.waiting_reads.append((name, core, index, must_see))

        core.read_index(found)

    def finish_reads(self) -> None:
        waiting, self.waiting_reads = self.waiting_reads, []
        for name, core, index, must_see in waiting:
            if self.cores.get(name) is not core:
                continue
            if core.raftLastApplied < index:
                self.waiting_reads.append((name, core, index, must_see))
                continue
            self.reads_done += 1
            if not must_see <= set(self.machines[name].applied):
                raise Violation(f"a linearizable read at {name} was stale")

    # --- promises

    def check_applied(self, position: int, value: int, name: str) -> None:
        if self.canonical.setdefault(position, value) != value:
            raise Violation(f"{name} applied {value} as number {position}, others {self.canonical[position]}")

    def heal_and_check(self) -> None:
        self.crash_rate = 0.0
        self.cut.clear()
        self.paused.clear()
        for name in self.names:
            if name not in self.cores:
                self.start(name)
        self.until(lambda: self.leader is not None)
        self.run(2.0)
        last = None

        def written() -> bool:
            nonlocal last
            # The leader may still change once; then the write is refused, but never left without an answer.
            if self.leader is not None and (last is None or last in self.refused):
                last = self.write(self.leader)
            return last in self.acknowledged

        self.until(written)
        self.until(lambda: all(machine.applied[-1:] == [last] for machine in self.machines.values()))
        for name, machine in self.machines.items():
            missing = self.acknowledged - set(machine.applied)
            if missing:
                raise Violation(f"{name} lost acknowledged writes {sorted(missing)[:5]}")
