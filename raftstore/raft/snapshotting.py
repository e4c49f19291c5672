"""Snapshots in the Raft core: when one is taken, what of the log is kept, how one is sent and installed (Raft §7).

A snapshot is taken of the applied state, written in slices beside normal work, and only when it is durable is the
log's prefix dropped, all but a tail from which followers a little behind are served. An installed snapshot keeps
the part of the follower's log that continues it; stock PySyncObj clears it, which loses acknowledged entries.
"""

import logging

from pysyncobj.node import Node

from raftstore.raft import replication
from raftstore.raft.base import UNKNOWN_OUTCOME
from raftstore.raft.messages import SnapshotChunk, SnapshotReply
from raftstore.raft.progress import Progress, SnapshotTransfer
from raftstore.raft.seams import SnapshotMeta
from raftstore.raft.wal import FIRST_INDEX

logger = logging.getLogger("raftstore.raft")


class _SyncObj(replication._SyncObj):
    _snapshot_wanted: bool
    _appended_bytes_at_snapshot: int

    def _init_snapshotting(self) -> None:
        self._snapshot_wanted = False
        self._bytes_applied = 0  # since the last snapshot was begun

    # --- taking one

    def request_snapshot(self) -> None:
        """Take a snapshot as soon as may be."""
        self._snapshot_wanted = True

    @property
    def snapshot_index(self) -> int:
        """The index the current snapshot stands for, or 0."""
        meta = self._snapshots.meta
        return meta.index if meta is not None else 0

    def _advance_snapshot(self) -> None:
        if self._snapshots.is_busy:
            finished = self._snapshots.step(self._tuning.snapshot_slice_s)
            if finished is not None:
                logger.info("snapshot up to entry %d is complete", finished.index)
                self._compact_log(finished.index)
            return
        applied = self.__raftLastApplied
        since = applied - (self.snapshot_index or FIRST_INDEX)
        tuning = self._tuning
        due = since >= tuning.snapshot_every_entries or self._bytes_applied >= tuning.snapshot_every_bytes
        if since > 0 and (due or self._snapshot_wanted):
            term = self._term_at(applied)
            assert term is not None
            self._bytes_applied = 0
            self._snapshots.begin(SnapshotMeta(applied, term, self.member_names), self._machine.capture())
        self._snapshot_wanted = False

    def _compact_log(self, snapshot_index: int) -> None:
        """Drop the log's prefix that a durable snapshot stands for, but for a tail."""
        log = self.__raftLog
        first = self._first_index()
        keep_from = max(first, snapshot_index - self._tuning.tail_entries)
        tail_bytes = sum(len(entry[0]) for entry in log.entries(keep_from, snapshot_index))
        while keep_from < snapshot_index and tail_bytes > self._tuning.tail_bytes:
            tail_bytes -= len(log[keep_from - first][0])
            keep_from += 1
        if keep_from > first:
            log.deleteEntriesTo(keep_from - first)

    # --- sending one

    def _send_snapshot(self, node: Node, progress: Progress) -> None:
        transfer = progress.transfer
        if transfer is None:
            source = self._snapshots.open_for_sending()
            if source is None:
                return
            logger.info("sending %s the snapshot up to entry %d", node, source.meta.index)
            transfer = progress.transfer = SnapshotTransfer(source)
        now = self._now()
        if transfer.resend_at_s > now:
            return
        source = transfer.source
        chunk = SnapshotChunk(
            self.__raftCurrentTerm,
            source.snapshot_id,
            source.meta.index,
            transfer.offset,
            source.total_bytes,
            source.read(transfer.offset, self._tuning.snapshot_chunk_bytes),
            self._round,
        )
        self.__transport.send(node, chunk)
        # Connections do not lose messages, but installing takes its time; a repeated piece does no harm.
        transfer.resend_at_s = now + 4 * self._tuning.election_max_s

    def _on_snapshot_reply(self, node: Node, reply: SnapshotReply) -> None:
        progress = self._progress.get(node)
        if not self.is_leader or progress is None:
            return
        progress.last_reply_s = self._now()
        progress.acknowledged_round = max(progress.acknowledged_round, reply.round)
        transfer = progress.transfer
        if reply.done:
            progress.end_transfer()
            progress.verified(reply.index)
            progress.probe(progress.match_index + 1, self._sequence + 1)
            self._send_due = True
        elif transfer is not None and transfer.source.snapshot_id == reply.snapshot_id:
            transfer.offset = reply.offset
            transfer.resend_at_s = 0.0
            self._send_due = True

    # --- installing one

    def _on_snapshot_chunk(self, node: Node, chunk: SnapshotChunk) -> None:
        self._follow(node)
        if chunk.index <= self.__raftCommitIndex:
            # Nothing new in it: what is committed here agrees with the leader.
            self._reply_to_chunk(node, chunk, chunk.total_bytes, index=self.__raftCommitIndex)
            return
        received = self._snapshots.receive(chunk.snapshot_id, chunk.offset, chunk.data, chunk.total_bytes)
        if received < chunk.total_bytes:
            self._reply_to_chunk(node, chunk, received)
            return
        meta = self._snapshots.install()
        if meta is None:
            self._reply_to_chunk(node, chunk, 0)
            return
        self._install(meta)
        logger.info("installed the snapshot of %s up to entry %d", node, meta.index)
        self._reply_to_chunk(node, chunk, received, index=meta.index)

    def _install(self, meta: SnapshotMeta) -> None:
        log = self.__raftLog
        if self._term_at(meta.index) == meta.term:
            log.deleteEntriesTo(meta.index - self._first_index())
        else:
            self._fail_waiting(meta.index + 1, UNKNOWN_OUTCOME)
            log.restart_at(meta.index, meta.term)
        self._machine.restore(self._snapshots.load())
        self.__raftLastApplied = meta.index
        self.__raftCommitIndex = max(self.__raftCommitIndex, meta.index)
        log.setRaftCommitIndex(self.__raftCommitIndex)
        # The results of entries that came with the snapshot are not known here.
        for index in sorted(index for index in self.__commandsWaitingCommit if index <= meta.index):
            for _, callback in self.__commandsWaitingCommit.pop(index):
                callback(None, UNKNOWN_OUTCOME)

    def _reply_to_chunk(self, node: Node, chunk: SnapshotChunk, offset: int, *, index: int = 0) -> None:
        reply = SnapshotReply(self.__raftCurrentTerm, chunk.snapshot_id, offset, index > 0, index, chunk.round)
        self.__transport.send(node, reply)

    def __loadDumpFile(self, clearJournal: bool) -> None:
        raise NotImplementedError("PySyncObj's dumps are not used")

    def __tryLogCompaction(self) -> None:
        raise NotImplementedError("PySyncObj's dumps are not used")
