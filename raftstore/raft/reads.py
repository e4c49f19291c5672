"""Linearizable reads by read index (Raft §6.4): one round of heartbeats serves every read that waits for it.

The leader notes its commit index, then proves that it still led *after* the read arrived: a majority must echo a
round begun since. Followers ask the leader for the index and wait until they have applied it. A request number
begins at random in each life of a process, so an answer to a former life never matches.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from pysyncobj.node import Node

from raftstore.raft import election
from raftstore.raft.base import LEADER
from raftstore.raft.messages import ReadIndex, ReadIndexReply
from raftstore.raft.progress import quorum_value

ReadCallback = Callable[[int], None]
"""Hears the index a read must wait for, or 0: ask again."""

_ROUND_OF_SELF: Final = 1 << 62
MAX_WAITING_READS: Final = 16_384


class _SyncObj(election._SyncObj):
    _round: int
    _waiting_reads: deque[tuple[int, int, ReadCallback]]
    _early_reads: list[ReadCallback]
    _asked_reads: dict[int, ReadCallback]
    _read_request_id: int

    def _init_reads(self) -> None:
        self._round = 0
        self._waiting_reads = deque()  # (round that proves it, index, callback), rounds ascending
        self._early_reads = []  # arrived before the term's first entry was committed
        self._asked_reads = {}  # a follower's, at the leader
        self._read_request_id = self._environment.random.getrandbits(40) << 20

    def read_index(self, callback: ReadCallback) -> None:
        """Find the index that a linearizable read, begun now, must see applied."""
        if self.__raftState == LEADER:
            self._leader_read_index(callback)
        elif self.__raftLeader is None or len(self._asked_reads) >= MAX_WAITING_READS:
            callback(0)
        else:
            self._read_request_id += 1
            if self.__transport.send(self.__raftLeader, ReadIndex(self._read_request_id)):
                self._asked_reads[self._read_request_id] = callback
            else:
                callback(0)

    def _leader_read_index(self, callback: ReadCallback) -> None:
        if len(self._waiting_reads) + len(self._early_reads) >= MAX_WAITING_READS:
            callback(0)
        elif self._term_start_index is None or self.__raftCommitIndex < self._term_start_index:
            # What former leaders committed is known only once an entry of the own term is committed.
            self._early_reads.append(callback)
        else:
            self._waiting_reads.append((self._round + 1, self.__raftCommitIndex, callback))

    def _start_read_round(self) -> None:
        term_start = self._term_start_index
        if self._early_reads and term_start is not None and self.__raftCommitIndex >= term_start:
            early, self._early_reads = self._early_reads, []
            for callback in early:
                self._leader_read_index(callback)
        if self._waiting_reads and self._round < self._waiting_reads[-1][0]:
            self._round = self._waiting_reads[-1][0]
            self._send_due = True

    def _answer_reads(self) -> None:
        if not self._waiting_reads:
            return
        rounds = [progress.acknowledged_round for progress in self._progress.values()]
        proven = quorum_value([_ROUND_OF_SELF, *rounds], self._quorum())
        while self._waiting_reads and self._waiting_reads[0][0] <= min(proven, self._round):
            _, index, callback = self._waiting_reads.popleft()
            callback(index)

    def _reads_failed(self) -> None:
        """Whoever leads now, it is not the one these reads were put to."""
        callbacks = [callback for _, _, callback in self._waiting_reads]
        callbacks += self._early_reads
        callbacks += self._asked_reads.values()
        self._waiting_reads.clear()
        self._early_reads = []
        self._asked_reads.clear()
        for callback in callbacks:
            callback(0)

    def _on_read_index(self, node: Node, message: ReadIndex) -> None:
        request_id = message.request_id

        def answer(index: int) -> None:
            self.__transport.send(node, ReadIndexReply(request_id, index))

        if self.__raftState == LEADER:
            self._leader_read_index(answer)
        else:
            answer(0)

    def _on_read_index_reply(self, message: ReadIndexReply) -> None:
        callback = self._asked_reads.pop(message.request_id, None)
        if callback is not None:
            callback(message.index)
