"""The Raft core's top layer: the tick, and where a peer's message goes.

The tick is the unit of group commit. In one turn the process reads all sockets, appends every command it has got
as one entry, sends entries to the followers at once, and then syncs its journal in parallel with theirs; votes
and acknowledgements leave only after that sync (the transport keeps them back). See `base.py` on how this
subclass of PySyncObj works.
"""

import logging
import queue
from collections.abc import Sequence
from typing import Final, assert_never

from pysyncobj.node import Node

from raftstore.raft import snapshotting
from raftstore.raft.base import DISCARDED, LEADER, NOT_LEADER, REGULAR, SUCCESS
from raftstore.raft.messages import (
    AppendEntries,
    AppendReply,
    RaftMessage,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    SnapshotChunk,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
)
from raftstore.raft.seams import Environment, Journal, Machine, RaftTransport, Snapshots, Tuning

logger = logging.getLogger("raftstore.raft")

_JOURNAL_TIMER_S: Final = 1.0
_SNAPSHOT_POLL_S: Final = 0.02
_MAX_APPLIED_PER_TICK: Final = 1000
"""How many entries one tick applies, so that a long replay does not keep the leader from being heard."""


class _SyncObj(snapshotting._SyncObj):
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
        self._environment = environment
        self._init_election()
        self._init_reads()
        self._init_replication()
        self._init_snapshotting()
        self._journal_timer_at_s = 0.0
        super().__init__(
            name,
            peers,
            journal=journal,
            snapshots=snapshots,
            machine=machine,
            transport=transport,
            environment=environment,
            tuning=tuning,
        )

    # --- the tick

    def _onTick(self, timeToWait: float = 0.0) -> None:
        """One turn; the caller then lets the transport flush, which syncs the journal."""
        now = self._now()
        if self.__raftState == LEADER:
            self._check_quorum()
        elif self.__raftElectionDeadline <= now:
            self._start_pre_vote()
        if self.__raftState == LEADER:
            self._advance_commit()
        self.__applyLogEntries()
        self._checkCommandsToApply()
        if self.__raftState == LEADER:
            self._lead(now)
        self._advance_snapshot()
        if now >= self._journal_timer_at_s:
            self._journal_timer_at_s = now + _JOURNAL_TIMER_S
            self.__raftLog.onOneSecondTimer()

    def _lead(self, now: float) -> None:
        self._start_read_round()
        if self._send_due or now >= self._heartbeat_at_s:
            self.__sendAppendEntries()
        elif self._commit_notice_at_s and now >= self._commit_notice_at_s:
            self._send_commit_notice()
        self._answer_reads()

    def next_deadline_s(self) -> float:
        """When the core wants its next tick if nothing arrives before; in the past: at once."""
        now = self._now()
        if self._snapshots.is_encoding or self.__raftCommitIndex > self.__raftLastApplied:
            return now
        deadline = self._role_deadline_s(now)
        return min(deadline, now + _SNAPSHOT_POLL_S) if self._snapshots.is_busy else deadline

    def _role_deadline_s(self, now: float) -> float:
        if self.__raftState != LEADER:
            return min(self.__raftElectionDeadline, self._journal_timer_at_s)
        if self._send_due or (self._quorum() == 1 and self.__raftLog.durable_index > self.__raftCommitIndex):
            return now
        deadline = min(self._heartbeat_at_s, self._journal_timer_at_s)
        return min(deadline, self._commit_notice_at_s) if self._commit_notice_at_s else deadline

    def _checkCommandsToApply(self) -> None:
        """Append queued commands to the log; only a leader takes any."""
        while True:
            try:
                command, callback = self.__commandsQueue.get_nowait()
            except queue.Empty:
                return
            if self.__raftState != LEADER:
                self.__callErrCallback(NOT_LEADER, callback)
                continue
            index, term = self._last_index() + 1, self.__raftCurrentTerm
            self.__raftLog.add(command, index, term)
            self.__commandsWaitingCommit[index].append((term, callback))
            self._send_due = True

    def __applyLogEntries(self) -> None:
        first = self.__raftLastApplied + 1
        last = min(self.__raftCommitIndex, first + _MAX_APPLIED_PER_TICK - 1)
        if first > last:
            return
        for command, index, term in self.__raftLog.entries(first, last):
            # What the state machine raises here, it raises on every member: let it end the process.
            results = self._machine.apply(command[1:]) if command[0] == REGULAR else None
            self.__raftLastApplied = index
            self._bytes_applied += len(command)
            for proposed_term, callback in self.__commandsWaitingCommit.pop(index, ()):
                if proposed_term == term:
                    callback(results, SUCCESS)
                else:
                    callback(None, DISCARDED)

    # --- messages

    def __onNodeConnected(self, node: Node) -> None:
        self.__connectedNodes.add(node)
        progress = self._progress.get(node)
        if progress is not None:
            # What was under way is lost: find out anew where the follower stands.
            progress.end_transfer()
            progress.probe((progress.match_index or progress.next_index - 1) + 1, self._sequence + 1)
            self._send_due = True

    def __onNodeDisconnected(self, node: Node) -> None:
        self.__connectedNodes.discard(node)
        progress = self._progress.get(node)
        if progress is not None:
            progress.end_transfer()
        elif node == self.__raftLeader:
            self._reads_failed()
            self.peer_lost(node.id)

    def __onMessageReceived(self, node: Node, message: RaftMessage) -> None:
        match message:
            case RequestVote():
                self._on_request_vote(node, message)
            case VoteReply():
                self._on_vote_reply(node, message)
            case ReadIndex():
                self._on_read_index(node, message)
            case ReadIndexReply():
                self._on_read_index_reply(message)
            case AppendEntries() | SnapshotChunk() | AppendReply() | SnapshotReply() | TimeoutNow():
                self._on_message_of_term(node, message)
            case _:
                assert_never(message)

    def _on_message_of_term(
        self, node: Node, message: AppendEntries | SnapshotChunk | AppendReply | SnapshotReply | TimeoutNow
    ) -> None:
        if message.term > self.__raftCurrentTerm:
            self._step_down(message.term, f"{node} knows term {message.term}")
        elif message.term < self.__raftCurrentTerm:
            if isinstance(message, AppendEntries | SnapshotChunk):
                # A leader of the past: its own term in the answer tells it so.
                self.__transport.send(node, AppendReply(self.__raftCurrentTerm, False, 0, 0, 0, 0, 0))
            return
        match message:
            case AppendEntries():
                self._on_append_entries(node, message)
            case AppendReply():
                self._on_append_reply(node, message)
            case SnapshotChunk():
                self._on_snapshot_chunk(node, message)
            case SnapshotReply():
                self._on_snapshot_reply(node, message)
            case TimeoutNow():
                self._on_timeout_now(node, message)


RaftCore = _SyncObj
"""The name by which the rest of the store knows the core."""
