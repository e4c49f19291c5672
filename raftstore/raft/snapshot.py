"""The snapshot file: written in slices between ticks, verified before use, swapped in by rename.

    "TSNAP001" | chunks: length u32, chained crc u32, payload | length 0, chained crc

The first chunk is the `SnapshotMeta`, the others belong to the state machine. A file without its closing chunk,
or with a chunk that does not verify, is no snapshot. The file also travels to lagging followers as it is.
"""

import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from raftstore.errors import FatalStoreError
from raftstore.raft.seams import SnapshotMeta
from raftstore.raft.wal import sync_directory

logger = logging.getLogger(__name__)

_MAGIC: Final = b"TSNAP001"
_CHUNK: Final = struct.Struct("<II")
_MAX_CHUNK_BYTES: Final = 1 << 30
_META_ENCODER: Final = msgspec.msgpack.Encoder()
_META_DECODER: Final = msgspec.msgpack.Decoder(SnapshotMeta)
_COPY_BYTES: Final = 1 << 20


class SnapshotFiles:
    """A member's snapshot directory: the current file, the one being written, the one being received."""

    def __init__(self, directory: Path, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._current = directory / "snapshot"
        self._monotonic_s = monotonic_s
        self._meta: SnapshotMeta | None = None
        self._writer: _Writer | None = None
        self._receiver: _Receiver | None = None
        directory.mkdir(parents=True, exist_ok=True)
        for leftover in (self._current.with_suffix(".new"), self._current.with_suffix(".incoming")):
            leftover.unlink(missing_ok=True)
        if self._current.exists():
            self._meta = verify(self._current)

    @property
    def meta(self) -> SnapshotMeta | None:
        """What the current snapshot stands for."""
        return self._meta

    @property
    def is_busy(self) -> bool:
        """Whether a snapshot is being written."""
        return self._writer is not None

    @property
    def is_encoding(self) -> bool:
        """Whether `step` has work to do; otherwise a snapshot that is being written waits for the disk."""
        return self._writer is not None and not self._writer.is_encoded

    def load(self) -> Iterator[bytes]:
        """The state machine's chunks of the current snapshot."""
        chunks = read_chunks(self._current)
        next(chunks)
        return chunks

    # --- writing

    def begin(self, meta: SnapshotMeta, chunks: Iterator[bytes]) -> None:
        """Start to write a snapshot; `step` goes on with it."""
        assert self._writer is None
        self._writer = _Writer(self._current.with_suffix(".new"), meta, chunks)

    def step(self, budget_s: float) -> SnapshotMeta | None:
        """Write for about so long; the snapshot's meta once it is complete and durable."""
        writer = self._writer
        if writer is None:
            return None
        deadline_s = self._monotonic_s() + budget_s
        while not writer.is_encoded and self._monotonic_s() < deadline_s:
            writer.write_chunk()
        if not writer.is_finished():
            return None
        self._writer = None
        if self._meta is not None and self._meta.index >= writer.meta.index:
            writer.path.unlink()  # a newer one was installed meanwhile
            return self._meta
        self._swap_in(writer.path, writer.meta)
        return writer.meta

    def _swap_in(self, path: Path, meta: SnapshotMeta) -> None:
        try:
            os.rename(path, self._current)
            sync_directory(self._current.parent)
        except OSError as error:
            raise FatalStoreError(f"keeping the snapshot {path} failed: {error}") from error
        self._meta = meta

    # --- sending and receiving

    def open_for_sending(self) -> "SnapshotFile | None":
        """The current snapshot, readable also after a newer one has taken its place."""
        return SnapshotFile(self._current, self._meta) if self._meta is not None else None

    def receive(self, snapshot_id: str, offset: int, data: bytes, total_bytes: int) -> int:
        """Take a piece; how many bytes of that snapshot have been received."""
        receiver = self._receiver
        if receiver is None or receiver.snapshot_id != snapshot_id:
            if receiver is not None:
                receiver.file.close()
            receiver = self._receiver = _Receiver(self._current.with_suffix(".incoming"), snapshot_id)
        try:
            return receiver.add(offset, data, total_bytes)
        except OSError as error:
            raise FatalStoreError(f"receiving a snapshot failed: {error}") from error

    def install(self) -> SnapshotMeta | None:
        """Verify what was received and make it the current snapshot; None if it is damaged."""
        receiver, self._receiver = self._receiver, None
        assert receiver is not None
        try:
            receiver.file.flush()
            os.fsync(receiver.file.fileno())
            receiver.file.close()
        except OSError as error:
            raise FatalStoreError(f"receiving a snapshot failed: {error}") from error
        try:
            meta = verify(receiver.path)
        except FatalStoreError as error:
            logger.warning("a received snapshot is refused: %s", error)
            return None
        self._swap_in(receiver.path, meta)
        return meta


class SnapshotFile:
    """An open snapshot on its way to a follower."""

    def __init__(self, path: Path, meta: SnapshotMeta) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  closed by close()
        status = os.fstat(self._file.fileno())
        self.meta = meta
        self.total_bytes = status.st_size
        self.snapshot_id = f"{meta.index}-{meta.term}-{status.st_ino}-{status.st_mtime_ns}"

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the file."""
        return os.pread(self._file.fileno(), count, offset)

    def close(self) -> None:
        """Done with it."""
        self._file.close()


class _Receiver:
    def __init__(self, path: Path, snapshot_id: str) -> None:
        self.path = path
        self.snapshot_id = snapshot_id
        self.file: BinaryIO = open(path, "wb")  # noqa: SIM115  closed by install()
        self.size_bytes = 0

    def add(self, offset: int, data: bytes, total_bytes: int) -> int:
        if offset == self.size_bytes and offset + len(data) <= total_bytes:
            self.file.write(data)
            self.size_bytes += len(data)
        return self.size_bytes


class _Writer:
    """Encodes in the caller's thread, a chunk at a time; only the final fsync has a thread of its own."""

    def __init__(self, path: Path, meta: SnapshotMeta, chunks: Iterator[bytes]) -> None:
        self.path = path
        self.meta = meta
        self.is_encoded = False
        self._chunks = chunks
        self._crc = 0
        self._error: OSError | None = None
        self._syncer = threading.Thread(target=self._sync, name="snapshot-sync", daemon=True)
        try:
            self._file: BinaryIO = open(path, "wb", buffering=_COPY_BYTES)  # noqa: SIM115  closed by _sync()
            self._file.write(_MAGIC)
            self._write(_META_ENCODER.encode(meta))
        except OSError as error:
            raise FatalStoreError(f"writing the snapshot {path} failed: {error}") from error

    def write_chunk(self) -> None:
        try:
            chunk = next(self._chunks, b"")
            self._write(chunk)
            if not chunk:
                self.is_encoded = True
                self._syncer.start()
        except OSError as error:
            raise FatalStoreError(f"writing the snapshot {self.path} failed: {error}") from error

    def _write(self, payload: bytes) -> None:
        self._crc = zlib.crc32(payload, self._crc)
        self._file.write(_CHUNK.pack(len(payload), self._crc))
        self._file.write(payload)

    def _sync(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            self._error = error

    def is_finished(self) -> bool:
        if not self.is_encoded or self._syncer.is_alive():
            return False
        if self._error is not None:
            raise FatalStoreError(f"writing the snapshot {self.path} failed: {self._error}")
        return True


def read_chunks(path: Path) -> Iterator[bytes]:
    """The chunks of a snapshot file, meta first; damage is reported with its offset when it is reached."""
    crc = 0
    with open(path, "rb", buffering=_COPY_BYTES) as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise FatalStoreError(f"{path} is not a snapshot")
        while True:
            offset = file.tell()
            head = file.read(_CHUNK.size)
            if len(head) < _CHUNK.size:
                raise FatalStoreError(f"snapshot {path} is cut short at offset {offset}")
            length, expected = _CHUNK.unpack(head)
            payload = file.read(length) if length <= _MAX_CHUNK_BYTES else b""
            crc = zlib.crc32(payload, crc)
            if len(payload) != length or crc != expected:
                raise FatalStoreError(f"snapshot {path} is damaged at offset {offset}")
            if not length:
                return
            yield payload


def verify(path: Path) -> SnapshotMeta:
    """Read a whole snapshot file against its checksums; what it stands for."""
    try:
        chunks = read_chunks(path)
        meta = _META_DECODER.decode(next(chunks, b""))
        for _ in chunks:
            pass
    except (OSError, msgspec.DecodeError) as error:
        raise FatalStoreError(f"snapshot {path} cannot be read: {error}") from error
    return meta
