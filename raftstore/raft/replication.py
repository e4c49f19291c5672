"""Log replication and commitment (Raft §5.3, §5.4), replacing PySyncObj's.

Stock PySyncObj cuts a follower's log at every message, not only where it conflicts, so a repeated message erases
acknowledged entries; and its followers take the leader's commit index for entries that no message has verified.
Here a log is cut only at a conflict and never below the commit index, and a follower commits no further than the
last entry that this very message has verified. The leader counts itself only as far as its own disk has come.
"""

from msgspec import Raw
from pysyncobj.node import Node

from raftstore.errors import FatalStoreError
from raftstore.raft import reads
from raftstore.raft.base import DISCARDED, LEADER
from raftstore.raft.messages import (
    ENCODER,
    ENTRIES_DECODER,
    NO_ENTRIES,
    AppendEntries,
    AppendReply,
    Entry,
)
from raftstore.raft.progress import Progress, quorum_value


class _SyncObj(reads._SyncObj):
    _heartbeat_at_s: float
    _commit_notice_at_s: float
    _encoded: dict[tuple[int, int], tuple[Raw, int]]

    def _init_replication(self) -> None:
        self._heartbeat_at_s = 0.0
        self._commit_notice_at_s = 0.0  # 0: nothing to tell
        self._encoded = {}  # (first, last) index → entries encoded once for every follower, within one tick

    # --- the leader's side

    def _advance_commit(self) -> None:
        matches = [progress.match_index for progress in self._progress.values()]
        index = quorum_value([self.__raftLog.durable_index, *matches], self._quorum())
        if index <= self.__raftCommitIndex or self._term_at(index) != self.__raftCurrentTerm:
            return
        self.__raftCommitIndex = index
        self.__raftLog.setRaftCommitIndex(index)
        if not self._commit_notice_at_s:
            self._commit_notice_at_s = self._now() + self._tuning.commit_notice_s

    def __sendAppendEntries(self) -> None:
        now = self._now()
        heartbeat = now >= self._heartbeat_at_s
        if heartbeat:
            self._heartbeat_at_s = now + self._tuning.heartbeat_s
        self._send_due = False
        self._commit_notice_at_s = 0.0
        for node, progress in self._progress.items():
            if node not in self.__connectedNodes:
                continue
            if progress.next_index <= self._first_index():
                self._send_snapshot(node, progress)
                if heartbeat:
                    self._send_entries(node, max(progress.match_index, self._first_index()), NO_ENTRIES, 0)
            elif progress.is_probing:
                self._probe(node, progress, now, heartbeat=heartbeat)
            else:
                self._stream(node, progress)
        self._encoded.clear()

    def _send_snapshot(self, node: Node, progress: Progress) -> None:
        raise NotImplementedError

    def _probe(self, node: Node, progress: Progress, now: float, *, heartbeat: bool) -> None:
        if progress.probe_again_s > now and not heartbeat:
            return
        progress.probe_again_s = now + self._tuning.heartbeat_s
        if progress.next_index <= self._last_index():
            entries, size_bytes, _ = self._encoded_from(progress.next_index)
        else:
            entries, size_bytes = NO_ENTRIES, 0
        self._send_entries(node, progress.next_index - 1, entries, size_bytes)

    def _stream(self, node: Node, progress: Progress) -> None:
        sent = False
        last_index = self._last_index()
        while progress.next_index <= last_index and progress.bytes_in_flight < self._tuning.window_bytes:
            entries, size_bytes, batch_last = self._encoded_from(progress.next_index)
            self._send_entries(node, progress.next_index - 1, entries, size_bytes)
            progress.entries_sequence = self._sequence
            progress.bytes_in_flight += size_bytes
            progress.next_index = batch_last + 1
            sent = True
        if not sent:
            # It vouches for no more than the follower is known to hold, so it can neither cut nor over-commit.
            self._send_entries(node, max(progress.match_index, self._first_index()), NO_ENTRIES, 0)

    def _encoded_from(self, first_index: int) -> tuple[Raw, int, int]:
        """Entries from an index on, as many as one message may carry: encoded, their bytes, the last's index."""
        position = first_index - self._first_index()
        log: list[Entry] = self.__raftLog  # type: ignore[assignment]  # the journal is a sequence of entries
        last_position = position
        size_bytes = len(log[position][0])
        while last_position + 1 < len(log):
            size_bytes += len(log[last_position + 1][0])
            if size_bytes > self._tuning.append_bytes:
                break
            last_position += 1
        last_index = first_index + last_position - position
        cached = self._encoded.get((first_index, last_index))
        if cached is None:
            encoded = ENCODER.encode(self.__raftLog.entries(first_index, last_index))
            cached = self._encoded[first_index, last_index] = Raw(encoded), len(encoded)
        return *cached, last_index

    def _send_entries(
        self, node: Node, previous_index: int, entries: Raw, size_bytes: int, *, wants_reply: bool = True
    ) -> None:
        self._sequence += 1
        previous_term = self._term_at(previous_index)
        assert previous_term is not None
        message = AppendEntries(
            self.__raftCurrentTerm,
            previous_index,
            previous_term,
            entries,
            self.__raftCommitIndex,
            self._round,
            self._sequence,
            size_bytes,
            wants_reply,
        )
        self.__transport.send(node, message)

    def _send_commit_notice(self) -> None:
        """Tell followers of a new commit index at once; nobody needs to answer."""
        self._commit_notice_at_s = 0.0
        for node, progress in self._progress.items():
            ready = node in self.__connectedNodes and not progress.is_probing
            if ready and progress.match_index >= self._first_index():
                self._send_entries(node, progress.match_index, NO_ENTRIES, 0, wants_reply=False)

    def _on_append_reply(self, node: Node, reply: AppendReply) -> None:
        progress = self._progress.get(node)
        if self.__raftState != LEADER or progress is None:
            return
        progress.last_reply_s = self._now()
        progress.acknowledged_round = max(progress.acknowledged_round, reply.round)
        if reply.success:
            progress.verified(reply.next_index - 1)
        if reply.sequence < progress.first_valid_sequence:
            return
        progress.bytes_in_flight = max(0, progress.bytes_in_flight - reply.size_bytes)
        if reply.success:
            if progress.has_lost_entries(reply.sequence):
                progress.probe(progress.match_index + 1, self._sequence + 1)
            else:
                progress.replicate()
            if progress.next_index <= self._last_index():
                self._send_due = True
        else:
            before = max(progress.match_index, min(reply.hint, self._last_index()))
            progress.probe(before + 1, self._sequence + 1)
            self._send_due = True

    # --- the follower's side

    def _on_append_entries(self, node: Node, message: AppendEntries) -> None:
        self._follow(node)
        first, last = self._first_index(), self._last_index()
        previous = message.previous_index
        entries = ENTRIES_DECODER.decode(message.entries)
        if previous < first:
            # Up to `first` everything is in our snapshot, hence committed, hence the same as the leader's.
            known = first - previous
            if len(entries) <= known:
                self._reply(node, message, next_index=min(previous + len(entries), first) + 1)
                return
            entries, previous = entries[known:], first
        elif previous > last:
            self._reply(node, message, hint=last)
            return
        elif self._term_at(previous) != message.previous_term:
            self._reply(node, message, hint=self._before_conflict(previous))
            return
        verified = self._accept(previous, entries)
        commit_index = min(message.commit_index, verified)
        if commit_index > self.__raftCommitIndex:
            self.__raftCommitIndex = commit_index
            self.__raftLog.setRaftCommitIndex(commit_index)
        self._reply(node, message, next_index=verified + 1)

    def _before_conflict(self, index: int) -> int:
        """Skip the whole of a conflicting term, so that finding the common prefix takes a message a term."""
        term, first = self._term_at(index), self._first_index()
        before = index - 1
        while before > first and self._term_at(before) == term:
            before -= 1
        return max(before, self.__raftCommitIndex)

    def _accept(self, previous: int, entries: list[Entry]) -> int:
        """Append what is new, cutting the log only where it conflicts; the last index now known to agree."""
        log = self.__raftLog
        last, verified = self._last_index(), previous
        for command, index, term in entries:
            if index != verified + 1:
                raise FatalStoreError(f"the leader sent entry {index} after {verified}")
            if index <= last:
                if self._term_at(index) == term:
                    verified = index
                    continue
                if index <= self.__raftCommitIndex:
                    raise FatalStoreError(f"the leader wants to overwrite the committed entry {index}")
                self._fail_waiting(index, DISCARDED)
                log.deleteEntriesFrom(index - self._first_index())
                last = index - 1
            log.add(command, index, term)
            verified = last = index
        return verified

    def _reply(self, node: Node, message: AppendEntries, *, next_index: int = 0, hint: int = 0) -> None:
        if not message.wants_reply:
            return
        reply = AppendReply(
            self.__raftCurrentTerm,
            next_index > 0,
            next_index,
            hint,
            message.round,
            message.sequence,
            message.size_bytes,
        )
        self.__transport.send(node, reply)
