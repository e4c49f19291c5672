"""Elections: pre-vote, votes as a set, leader stickiness, check-quorum, transfer (Raft §4.2.3, §6.2, §9.6).

Stock PySyncObj counts duplicate votes, lets any member with a newer term depose a healthy leader, and leaves a
cut-off leader in office for thirty seconds. Here a member first asks (pre-vote) whether it would win, nobody who
hears a leader answers yes, and a leader that does not hear a majority within an election timeout resigns.
"""

import logging
from typing import Final

from pysyncobj.node import Node

from raftstore.raft import base
from raftstore.raft.base import CANDIDATE, FOLLOWER, LEADER, NO_OP, UNKNOWN_OUTCOME
from raftstore.raft.messages import RequestVote, TimeoutNow, VoteReply
from raftstore.raft.progress import Progress

logger = logging.getLogger("raftstore.raft")

# After the connection to the leader broke: long enough for the others to have noticed too, and to not collide.
_LOST_LEADER_DELAY_S: Final = (0.02, 0.15)
# While it is known that the leader is gone, a failed attempt (somebody had not noticed yet) is soon repeated.
_HURRIED_RETRY_S: Final = (0.1, 0.3)


class _SyncObj(base._SyncObj):
    _votes: set[str]
    _pre_votes: set[str] | None
    _leader_heard_s: float
    _term_start_index: int | None
    _sequence: int

    def _init_election(self) -> None:
        self._votes = set()
        self._pre_votes = None  # None: no question is open
        self._leader_heard_s = float("-inf")
        self._hurry_until_s = float("-inf")
        self._term_start_index = None  # the leader's own no-op
        self._sequence = 0
        self._lost_leader_reason = "the cluster has just started, or no leader was heard"

    def _next_attempt_s(self) -> float:
        now = self._now()
        if now < self._hurry_until_s:
            return now + self._environment.random.uniform(*_HURRIED_RETRY_S)
        return now + self.__generateRaftTimeout()

    # --- becoming a leader

    def _start_pre_vote(self) -> None:
        self.__raftElectionDeadline = self._next_attempt_s()
        if self.__raftLeader is not None:
            self._lost_leader_reason = f"{self.leader_name} was not heard for an election timeout"
            logger.info("no longer following: %s", self._lost_leader_reason)
            self.__raftLeader = None
            self._reads_failed()
        self._pre_votes = {self.__selfNode.name}
        if self._quorum() == 1:
            self._start_election()
            return
        self._ask_for_votes(RequestVote(self.__raftCurrentTerm + 1, self._last_index(), self._last_term(), pre=True))

    def _start_election(self, *, transfer: bool = False) -> None:
        self._pre_votes = None
        self._votes = {self.__selfNode.name}
        self.__raftElectionDeadline = self._next_attempt_s()
        self.__raftLeader = None
        self.__setState(CANDIDATE)
        self.__setCurrentTerm(self.__raftCurrentTerm + 1, self.__selfNode.name)
        if self._quorum() == 1:
            self.__onBecomeLeader()
            return
        last = self._last_index(), self._last_term()
        self._ask_for_votes(RequestVote(self.__raftCurrentTerm, *last, transfer=transfer))

    def _ask_for_votes(self, request: RequestVote) -> None:
        for node in self._peers():
            self.__transport.send(node, request)

    def __onBecomeLeader(self) -> None:
        now = self._now()
        self.__raftLeader = self.__selfNode
        self.__setState(LEADER)
        next_index = self._last_index() + 1
        for node in self._peers():
            self._progress[node] = Progress(next_index, now, first_valid_sequence=self._sequence + 1)
        # An entry of the own term: only with it may earlier terms' entries be committed (Raft §5.4.2).
        self.__raftLog.add(NO_OP, next_index, self.__raftCurrentTerm)
        self._term_start_index = next_index
        self._send_due = True
        logger.info(
            "leading term %d with the votes of %s (%s)",
            self.__raftCurrentTerm,
            ", ".join(sorted(self._votes)),
            self._lost_leader_reason,
        )

    # --- ceasing to be one

    def _step_down(self, term: int, reason: str) -> None:
        """Follow: because of a newer term, or because leading or running has failed."""
        if term > self.__raftCurrentTerm:
            self.__setCurrentTerm(term, None)
            self.__raftLeader = None
        self._pre_votes = None
        if self.__raftState == FOLLOWER:
            return
        if self.__raftState == LEADER:
            logger.warning("no longer leading: %s", reason)
            self._lost_leader_reason = reason
        self.__raftLeader = None
        self.__setState(FOLLOWER)
        self.__raftElectionDeadline = self._now() + self.__generateRaftTimeout()
        self._term_start_index = None
        for progress in self._progress.values():
            progress.end_transfer()
        self._progress.clear()
        # Whether a next leader has these entries is not known: their proposers must ask again, not wait.
        self._fail_waiting(self.__raftCommitIndex + 1, UNKNOWN_OUTCOME)
        self._reads_failed()

    def _check_quorum(self) -> None:
        oldest = self._now() - self._tuning.election_min_s
        heard = 1 + sum(progress.last_reply_s > oldest for progress in self._progress.values())
        if heard < self._quorum():
            self._step_down(self.__raftCurrentTerm, f"only {heard} of {len(self._progress) + 1} members were heard")

    def _follow(self, node: Node) -> None:
        """A message of the current term's leader has come."""
        now = self._now()
        self._leader_heard_s = now
        self._hurry_until_s = float("-inf")
        self._pre_votes = None
        self.__raftElectionDeadline = now + self.__generateRaftTimeout()
        if self.__raftState != FOLLOWER:
            self._step_down(self.__raftCurrentTerm, f"{node} leads the term")
        if self.__raftLeader != node:
            logger.info("following %s in term %d (%s)", node, self.__raftCurrentTerm, self._lost_leader_reason)
            self.__raftLeader = node
            self._reads_failed()

    def _reads_failed(self) -> None:
        raise NotImplementedError

    # --- votes

    def _on_request_vote(self, node: Node, request: RequestVote) -> None:
        up_to_date = (request.last_term, request.last_index) >= (self._last_term(), self._last_index())
        hears_leader = self.__raftState == LEADER or self._now() - self._leader_heard_s < self._tuning.election_min_s
        if hears_leader and not request.transfer:
            return
        if request.pre:
            granted = up_to_date and request.term > self.__raftCurrentTerm
            term = request.term if granted else self.__raftCurrentTerm
            self.__transport.send(node, VoteReply(term, pre=True, granted=granted))
            return
        if request.term > self.__raftCurrentTerm:
            self._step_down(request.term, f"{node} asks for votes in term {request.term}")
        free = self.__votedForNodeId in (None, node.id) and self.__raftState == FOLLOWER
        granted = up_to_date and free and request.term == self.__raftCurrentTerm
        if granted:
            if self.__votedForNodeId is None:
                self.__setCurrentTerm(request.term, node.id)
            self.__raftElectionDeadline = self._now() + self.__generateRaftTimeout()
        self.__transport.send(node, VoteReply(self.__raftCurrentTerm, pre=False, granted=granted))

    def _on_vote_reply(self, node: Node, reply: VoteReply) -> None:
        if not reply.granted:
            if reply.term > self.__raftCurrentTerm:
                self._step_down(reply.term, f"{node} knows term {reply.term}")
            return
        if reply.pre:
            asked = self._pre_votes is not None and reply.term == self.__raftCurrentTerm + 1
            if asked and self._pre_votes is not None and self.__raftState != LEADER:
                self._pre_votes.add(node.id)
                if len(self._pre_votes) >= self._quorum():
                    self._start_election()
        elif self.__raftState == CANDIDATE and reply.term == self.__raftCurrentTerm:
            self._votes.add(node.id)
            if len(self._votes) >= self._quorum():
                self.__onBecomeLeader()

    # --- hints from outside

    def peer_lost(self, name: str) -> None:
        """The connection to a member broke. If it led, do not wait for the whole election timeout."""
        leader = self.__raftLeader
        if leader is None or self.__raftState == LEADER or leader.id != name:
            return
        self._lost_leader_reason = f"the connection to {name} broke"
        self._leader_heard_s = float("-inf")
        self._hurry_until_s = self._now() + self._tuning.election_max_s
        soon = self._now() + self._environment.random.uniform(*_LOST_LEADER_DELAY_S)
        self.__raftElectionDeadline = min(self.__raftElectionDeadline, soon)

    def transfer_leadership(self) -> bool:
        """Ask the most advanced follower to take over at once; False when none has everything."""
        if self.__raftState != LEADER:
            return False
        for node, progress in sorted(self._progress.items(), key=lambda item: str(item[0])):
            if node in self.__connectedNodes and progress.match_index == self._last_index():
                logger.info("asking %s to take over", node)
                self.__transport.send(node, TimeoutNow(self.__raftCurrentTerm))
                return True
        return False

    def _on_timeout_now(self, node: Node, message: TimeoutNow) -> None:
        if node == self.__raftLeader and message.term == self.__raftCurrentTerm and self.__raftState == FOLLOWER:
            self._lost_leader_reason = f"{node} handed over"
            self._start_election(transfer=True)
