"""The bottom layer of the Raft core: PySyncObj's frame, our journal and snapshots under it.

**How the subclass works.** Every layer (`base`, `election`, `reads`, `replication`, `snapshotting`, `core`) is a
class named `_SyncObj`, each deriving from the one before. Python mangles `self.__name` to `_SyncObj__name` in all
of them, exactly as in `pysyncobj.SyncObj`: two leading underscores therefore mean *PySyncObj's own* state, or a
method of its that is replaced; one underscore means ours. A test pins the source of what is touched.

What remains PySyncObj's: construction and configuration, the command queue, callbacks and their outcome codes,
roles, term and vote, the interfaces of node, transport and journal. Replication, elections, commitment,
snapshots and reads are ours, because the stock ones lose acknowledged writes (see `docs` of each layer).
"""

import collections
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import pysyncobj
from pysyncobj import FAIL_REASON, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.syncobj import _COMMAND_TYPE, _RAFT_STATE

from raftstore.errors import FatalStoreError
from raftstore.protocol import Role
from raftstore.raft.progress import Progress
from raftstore.raft.seams import (
    Environment,
    Journal,
    Machine,
    PeerNode,
    RaftTransport,
    SnapshotMeta,
    Snapshots,
    Tuning,
)
from raftstore.raft.wal import FIRST_INDEX

logger = logging.getLogger("raftstore.raft")

PYSYNCOBJ_VERSION: Final = "0.3.17"
MAX_QUEUED_COMMANDS: Final = 1024

REGULAR: Final[int] = _COMMAND_TYPE.REGULAR
NO_OP: Final = bytes([_COMMAND_TYPE.NO_OP])
FOLLOWER: Final[int] = _RAFT_STATE.FOLLOWER
CANDIDATE: Final[int] = _RAFT_STATE.CANDIDATE
LEADER: Final[int] = _RAFT_STATE.LEADER

_ROLES: Final[dict[int, Role]] = {FOLLOWER: "follower", CANDIDATE: "candidate", LEADER: "leader"}

Outcome = int
"""One of PySyncObj's `FAIL_REASON`s."""
Callback = Callable[[Any, Outcome], None]


class _SyncObj(pysyncobj.SyncObj):  # type: ignore[misc]  # PySyncObj has no types
    # PySyncObj's state, by the names it has there.
    __conf: SyncObjConf
    __selfNode: PeerNode
    __otherNodes: set[PeerNode]
    __connectedNodes: set[Node]
    __transport: RaftTransport
    __raftLog: Journal
    __raftState: int
    __raftCurrentTerm: int
    __votedForNodeId: str | None
    __raftLeader: Node | None
    __raftElectionDeadline: float
    __raftCommitIndex: int
    __raftLastApplied: int
    __commandsQueue: Any
    __commandsWaitingCommit: dict[int, list[tuple[int, Callback]]]

    def __init__(
        self,
        name: str,
        peers: Sequence[str],
        *,
        journal: Journal,
        snapshots: Snapshots,
        machine: Machine,
        transport: RaftTransport,
        environment: Environment,
        tuning: Tuning,
    ) -> None:
        if pysyncobj.version.VERSION != PYSYNCOBJ_VERSION:
            raise FatalStoreError(f"built on PySyncObj {PYSYNCOBJ_VERSION}, found {pysyncobj.version.VERSION}")
        self._environment = environment
        self._tuning = tuning
        self._machine = machine
        self._snapshots = snapshots
        self._progress: dict[Node, Progress] = {}
        self._send_due = False
        self.__commandsWaitingCommit = collections.defaultdict(list)
        super().__init__(PeerNode(name), [PeerNode(peer) for peer in peers], _conf(tuning), transport=transport)
        self.__adopt(journal)

    def __adopt(self, journal: Journal) -> None:
        """Put our journal in the place of the empty one that PySyncObj made, and begin from what is on the disk."""
        self.__raftLog = journal
        self.__raftCurrentTerm = max(journal.getCurrentTerm(), journal[-1][2])
        self.__votedForNodeId = journal.getVotedForNodeId()
        if journal.getCurrentTerm() != self.__raftCurrentTerm:
            self.__votedForNodeId = None
        self.__commandsWaitingCommit = collections.defaultdict(list)
        meta = self._snapshots.meta
        applied = self._restore(meta) if meta is not None else FIRST_INDEX
        if meta is None and journal[0][1] != FIRST_INDEX:
            raise FatalStoreError(f"the journal begins at entry {journal[0][1]} and there is no snapshot before it")
        self.__raftLastApplied = applied
        self.__raftCommitIndex = max(applied, min(journal.getRaftCommitIndex(), self._last_index()))
        self.__raftElectionDeadline = self._now() + self._first_election_delay_s()

    def _restore(self, meta: SnapshotMeta) -> int:
        """Load the state from the snapshot and make the journal continue it; the index it stands for."""
        self._machine.restore(self._snapshots.load())
        log = self.__raftLog
        first = log[0][1]
        if meta.index < first:
            raise FatalStoreError(f"entries {meta.index + 1} to {first} are neither in the snapshot nor in the journal")
        if self._term_at(meta.index) != meta.term:
            log.restart_at(meta.index, meta.term)  # the leader's snapshot was installed and the journal is older
        return meta.index

    # --- what the layers above share

    def _now(self) -> float:
        return self._environment.monotonic_s()

    def _last_index(self) -> int:
        index: int = self.__raftLog[-1][1]
        return index

    def _last_term(self) -> int:
        term: int = self.__raftLog[-1][2]
        return term

    def _first_index(self) -> int:
        index: int = self.__raftLog[0][1]
        return index

    def _term_at(self, index: int) -> int | None:
        position = index - self._first_index()
        if not 0 <= position < len(self.__raftLog):
            return None
        term: int = self.__raftLog[position][2]
        return term

    def _peers(self) -> list[PeerNode]:
        """The other members, in an order that does not depend on hashes."""
        return sorted(self.__otherNodes, key=lambda node: node.name)

    def _quorum(self) -> int:
        return (len(self.__otherNodes) + 1) // 2 + 1

    def _first_election_delay_s(self) -> float:
        # Pre-vote and stickiness make an early attempt harmless, so a whole cluster that starts need not wait long.
        return self._environment.random.uniform(0.1, 1.0) * self._tuning.election_min_s

    def __generateRaftTimeout(self) -> float:
        # PySyncObj calls this from its constructor, too; chance comes from the environment only.
        return self._environment.random.uniform(self._tuning.election_min_s, self._tuning.election_max_s)

    def _fail_waiting(self, first_index: int, outcome: Outcome) -> None:
        """Answer the proposers of entries from an index on: they will not hear of a commit here."""
        for index in sorted(index for index in self.__commandsWaitingCommit if index >= first_index):
            for _, callback in self.__commandsWaitingCommit.pop(index):
                callback(None, outcome)

    def __parseChangeClusterRequest(self, command: bytes) -> None:
        """Membership comes from the configuration; PySyncObj would unpickle the command here."""
        return None

    def __doApplyCommand(self, command: bytes) -> None:
        raise FatalStoreError("commands are applied by the state machine, never unpickled")

    # --- what the member's process sees

    @property
    def is_leader(self) -> bool:
        """Whether this member believes that it leads."""
        return self.__raftState == LEADER

    @property
    def role(self) -> Role:
        """This member's role."""
        return _ROLES[self.__raftState]

    @property
    def leader_name(self) -> str:
        """The leader as far as this member knows, or nothing."""
        leader = self.__raftLeader
        return leader.name if isinstance(leader, PeerNode) else ""

    @property
    def member_names(self) -> list[str]:
        """Every member, in order."""
        return sorted([self.__selfNode.name, *(node.name for node in self._peers())])

    @property
    def log_bounds(self) -> tuple[int, int]:
        """The first and the last index of the log."""
        return self._first_index(), self._last_index()

    def propose(self, payload: bytes, callback: Callback) -> None:
        """Queue a command; the callback hears its result and SUCCESS, or None and why not."""
        self._applyCommand(payload, callback, REGULAR)

    @property
    def queued_commands(self) -> int:
        """Entries proposed here whose fate is still open."""
        return len(self.__commandsWaitingCommit)


def _conf(tuning: Tuning) -> SyncObjConf:
    return SyncObjConf(
        autoTick=False,
        appendEntriesUseBatch=True,
        commandsQueueSize=MAX_QUEUED_COMMANDS,
        raftMinTimeout=tuning.election_min_s,
        raftMaxTimeout=tuning.election_max_s,
        appendEntriesPeriod=tuning.heartbeat_s,
        connectionTimeout=max(3.5, tuning.election_max_s),
        leaderFallbackTimeout=tuning.election_min_s,
        appendEntriesBatchSizeBytes=tuning.append_bytes,
        commandsWaitLeader=False,
        useFork=False,
    )


NOT_LEADER: Final[Outcome] = FAIL_REASON.NOT_LEADER
DISCARDED: Final[Outcome] = FAIL_REASON.DISCARDED
UNKNOWN_OUTCOME: Final[Outcome] = FAIL_REASON.UNKNOWN_OUTCOME
SUCCESS: Final[Outcome] = FAIL_REASON.SUCCESS
