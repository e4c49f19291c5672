"""The write-ahead log: segment files of checksummed frames, one frame and one fdatasync a tick.

A frame is a header and the records of one tick:

    magic u32 | header crc u32 | sequence u64 | body length u32 | crc before u32 | crc after u32 | records…

The header's checksum is salted with the log's own random number, so no value a client stores can pass for a
frame. Sequences never repeat over the life of a log, so a recycled segment's old frames are never taken for new
ones. The body's checksum continues the former frame's, also across segments: nothing can be lost in the middle.
A segment is named by its number; its first frame repeats what must outlive the segments before it.

Recovery reads frames until one does not verify. If any verifiable frame with a later sequence exists beyond it,
a synced frame has been damaged and the member refuses to start, naming file and offset. Otherwise it is the
torn tail of a write that was never acknowledged, and it is cut. (Damage to the very last frame alone cannot be
told from a torn write; the commit record that follows each second closes that window.)
"""

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from raftstore.errors import FatalStoreError
from raftstore.raft.messages import Entry
from raftstore.raft.wal_format import (
    FORMAT,
    HEADER_BYTES,
    Frame,
    Record,
    RecordType,
    decode_records,
    encode_frame,
    encode_record,
    find_later_frame,
    read_frame,
)

SEGMENT_BYTES: Final = 16 << 20
_SPARE_NAME: Final = "spare"
_SALT_NAME: Final = "salt"
_SALT_BYTES: Final = 4
# What PySyncObj's journals start with: an empty command at index 1 that every member shares.
_NO_OP: Final = b"\x01"
FIRST_INDEX: Final = 1


@dataclass(slots=True)
class _Segment:
    number: int
    last_index: int


class WriteAheadLog:
    """PySyncObj's journal on our segments. The entries since the compacted prefix are also in memory."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._log: list[Entry] = []
        self._log_bytes = 0
        self._term = 0
        self._vote: str | None = None
        self._commit_index = FIRST_INDEX
        self._logged_commit_index = FIRST_INDEX
        self._pending: list[bytes] = []
        self._sequence = 0
        self._crc = 0
        self._segments: list[_Segment] = []
        self._fd = -1
        self._offset = 0
        self._size = 0
        self._chain_end = ("", 0)
        self.sync_count = 0
        self.synced_bytes = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_directory(directory)
        try:
            self._salt = _load_salt(directory)
            self._recover()
        except OSError as error:
            raise FatalStoreError(f"journal in {directory}: {error}") from error
        self._durable_index = self._log[-1][1] if self._log else 0

    # --- recovery

    def _recover(self) -> None:
        names = sorted(path.name for path in self._directory.glob("*.wal"))
        for name in names:
            self._recover_segment(name)
        if names:
            self._fd = os.open(self._directory / names[-1], os.O_RDWR | os.O_CLOEXEC)
            self._size = os.fstat(self._fd).st_size
        else:
            self._open_segment(1)
        if not self._log:
            # A new log, or one whose very first frame never reached the disk.
            if self._segments[0].number > 1:
                raise FatalStoreError(f"journal in {self._directory}: {names[0]} holds no entry that verifies")
            self._pending.append(self._segment_head())
            self.add(_NO_OP, FIRST_INDEX, 0)
            self.sync()

    def _recover_segment(self, name: str) -> None:
        number = int(name.removesuffix(".wal"), 16)
        if self._segments and number != self._segments[-1].number + 1:
            raise FatalStoreError(f"the journal segment before {self._directory / name} is missing")
        data = (self._directory / name).read_bytes()
        self._segments.append(_Segment(number, self._last_index()))
        self._offset = 0
        while (frame := self._next_frame(data)) is not None:
            for record in decode_records(frame.body):
                self._replay(record, name)
            self._offset += HEADER_BYTES + len(frame.body)
            self._sequence, self._crc = frame.sequence, frame.crc
            self._segments[-1].last_index = self._last_index()
            self._chain_end = (name, self._offset)
        later = find_later_frame(data, self._offset, self._salt, after=self._sequence)
        if later is not None:
            damaged, offset = self._chain_end
            raise FatalStoreError(
                f"journal {self._directory / (damaged or name)} is damaged at offset {offset}: "
                f"what stands there does not verify, yet {name} holds, at {later}, what was written after it"
            )

    def _next_frame(self, data: bytes) -> Frame | None:
        if self._sequence == 0 and len(self._segments) == 1 and self._segments[0].number > 1:
            # The oldest segment that is left: what came before it is gone, so the chain starts here.
            return read_frame(data, self._offset, self._salt, sequence=None, previous_crc=None)
        return read_frame(data, self._offset, self._salt, sequence=self._sequence + 1, previous_crc=self._crc)

    def _replay(self, record: Record, name: str) -> None:
        match record.type:
            case RecordType.ENTRY:
                if self._log and record.log_index != self._last_index() + 1:
                    raise FatalStoreError(
                        f"journal {self._directory / name}: entry {record.log_index} follows {self._last_index()}"
                    )
                self._append(record.data, record.log_index, record.term)
            case RecordType.TRUNCATE:
                self._truncate(record.log_index)
            case RecordType.BASE:
                self._rebase(record.log_index, record.term)
            case RecordType.VOTE:
                self._term, self._vote = record.term, record.data.decode() or None
            case RecordType.COMMIT:
                self._commit_index = self._logged_commit_index = record.log_index
            case RecordType.SEGMENT:
                if record.log_index != FORMAT:
                    raise FatalStoreError(
                        f"journal {self._directory / name} has format {record.log_index}, not {FORMAT}"
                    )

    # --- the entries in memory

    def _last_index(self) -> int:
        return self._log[-1][1] if self._log else 0

    def _append(self, command: bytes, index: int, term: int) -> None:
        self._log.append((command, index, term))
        self._log_bytes += len(command)

    def _truncate(self, index: int) -> None:
        """Drop entries from an index on; older segments may be gone, so all of the log may be after it."""
        if self._log:
            position = max(0, index - self._log[0][1])
            self._log_bytes -= sum(len(entry[0]) for entry in self._log[position:])
            del self._log[position:]

    def _rebase(self, index: int, term: int) -> None:
        self._log = [(_NO_OP, index, term)]
        self._log_bytes = len(_NO_OP)

    def __len__(self) -> int:
        return len(self._log)

    def __getitem__(self, position: Any) -> Any:
        return self._log[position]

    def entries(self, first_index: int, last_index: int) -> list[Entry]:
        """The entries from one index to another, both included."""
        base = self._log[0][1]
        return self._log[first_index - base : last_index + 1 - base]

    @property
    def size_bytes(self) -> int:
        """The bytes of the commands in memory."""
        return self._log_bytes

    # --- PySyncObj's journal interface: recorded here, durable after `sync`

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry."""
        self._append(command, idx, term)
        self._pending.append(encode_record(RecordType.ENTRY, idx, term, command))

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        """Drop the entries from a position of the list on: they conflict with the leader's."""
        index = self._log[entryFrom][1]
        self._truncate(index)
        self._durable_index = min(self._durable_index, index - 1)
        self._pending.append(encode_record(RecordType.TRUNCATE, index, 0))

    def deleteEntriesTo(self, entryTo: int) -> None:
        """Drop the entries before a position of the list: a durable snapshot stands for them."""
        self._log_bytes -= sum(len(entry[0]) for entry in self._log[:entryTo])
        del self._log[:entryTo]
        self._drop_segments()

    def restart_at(self, index: int, term: int) -> None:
        """Forget every entry: a durable snapshot that ends with this one replaces them."""
        self._rebase(index, term)
        self._durable_index = min(self._durable_index, index)
        self._pending.append(encode_record(RecordType.BASE, index, term))

    def clear(self) -> None:
        """PySyncObj's way to forget the log; nothing here may call it."""
        raise FatalStoreError("a journal is never cleared")

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        """Record the term and whom this member voted for in it."""
        self._term, self._vote = term, votedForNodeId
        self._pending.append(encode_record(RecordType.VOTE, 0, term, (votedForNodeId or "").encode()))

    def getCurrentTerm(self) -> int:
        """The term of the last vote."""
        return self._term

    def getVotedForNodeId(self) -> str | None:
        """Whom this member voted for in that term."""
        return self._vote

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        """Note the commit index; it is only a hint for the next start, so it is written once a second."""
        self._commit_index = raftCommitIndex

    def getRaftCommitIndex(self) -> int:
        """The commit index last written."""
        return self._logged_commit_index

    def onOneSecondTimer(self) -> None:
        """Write the commit index if it has moved."""
        if self._commit_index != self._logged_commit_index:
            self._logged_commit_index = self._commit_index
            self._pending.append(encode_record(RecordType.COMMIT, self._commit_index, 0))

    def _destroy(self) -> None:
        self.sync()
        os.close(self._fd)
        os.close(self._lock)

    # --- the disk

    @property
    def is_dirty(self) -> bool:
        """Whether there is anything to sync."""
        return bool(self._pending)

    @property
    def durable_index(self) -> int:
        """The last entry that is on the disk for good."""
        return self._durable_index

    def sync(self) -> None:
        """Write everything recorded since the last call as one frame, and wait for the disk.

        A failure is fatal: after a failed fsync nobody knows what is on the disk, and a second one would lie.
        """
        if not self._pending:
            return
        body = b"".join(self._pending)
        self._pending.clear()
        try:
            if self._offset + HEADER_BYTES + len(body) > self._size:
                os.close(self._fd)
                body = self._segment_head() + body
                self._open_segment(self._segments[-1].number + 1, at_least_bytes=HEADER_BYTES + len(body))
            self._write_frame(body)
            os.fdatasync(self._fd)
        except OSError as error:
            raise FatalStoreError(f"writing the journal in {self._directory} failed: {error}") from error
        self._durable_index = self._segments[-1].last_index = self._log[-1][1]
        self.sync_count += 1
        self.synced_bytes += HEADER_BYTES + len(body)

    def _write_frame(self, body: bytes) -> None:
        self._sequence += 1
        frame, self._crc = encode_frame(body, self._salt, self._sequence, self._crc)
        written = os.pwrite(self._fd, frame, self._offset)
        if written != len(frame):
            raise OSError(f"wrote {written} of {len(frame)} bytes")
        self._offset += written

    def _segment_head(self) -> bytes:
        """What each segment begins with, since the ones before it may go."""
        return (
            encode_record(RecordType.SEGMENT, FORMAT, 0)
            + encode_record(RecordType.VOTE, 0, self._term, (self._vote or "").encode())
            + encode_record(RecordType.COMMIT, self._logged_commit_index, 0)
        )

    def _open_segment(self, number: int, *, at_least_bytes: int = 0) -> None:
        path = self._directory / f"{number:016x}.wal"
        spare = self._directory / _SPARE_NAME
        size = max(self._segment_bytes, at_least_bytes)
        if size == self._segment_bytes and spare.exists():
            os.rename(spare, path)
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        else:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._fd, 0, size)
            os.fsync(self._fd)
        sync_directory(self._directory)
        self._size = os.fstat(self._fd).st_size
        self._offset = 0
        self._segments.append(_Segment(number, self._last_index()))

    def _drop_segments(self) -> None:
        """Remove the oldest segments while every entry in them is before the log's first; keep one to recycle."""
        first_index = self._log[0][1]
        while len(self._segments) > 1 and self._segments[0].last_index < first_index:
            path = self._directory / f"{self._segments.pop(0).number:016x}.wal"
            spare = self._directory / _SPARE_NAME
            if path.stat().st_size == self._segment_bytes and not spare.exists():
                os.rename(path, spare)
            else:
                path.unlink()


def sync_directory(directory: Path) -> None:
    """Make renames and new files in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock_directory(directory: Path) -> int:
    """Two processes on one log would destroy it: hold a lock for as long as the process lives."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise FatalStoreError(f"{directory} is in use by another process") from error
    return fd


def _load_salt(directory: Path) -> int:
    path = directory / _SALT_NAME
    if not path.exists():
        if any(directory.glob("*.wal")):
            raise FatalStoreError(f"{path} is missing, and without it the journal beside it cannot be read")
        temporary = directory / (_SALT_NAME + ".new")
        with open(temporary, "wb") as file:
            file.write(secrets.token_bytes(_SALT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        sync_directory(directory)
    data = path.read_bytes()
    if len(data) != _SALT_BYTES:
        raise FatalStoreError(f"{path} has {len(data)} bytes, not {_SALT_BYTES}")
    return int.from_bytes(data, "little")
