"""Snapshot files: written in slices, verified to the last byte, swapped in whole."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftstore.errors import FatalStoreError
from raftstore.raft.seams import SnapshotMeta
from raftstore.raft.snapshot import SnapshotFiles, verify

CHUNKS = [b"header", b"a" * 1000, b"b" * 10]


def write(files: SnapshotFiles, index: int, chunks: list[bytes], deadline_s: float = 10.0) -> None:
    files.begin(SnapshotMeta(index, 3, ["m1", "m2"]), iter(chunks))
    end = time.monotonic() + deadline_s
    while files.step(0.001) is None:
        assert time.monotonic() < end


def test_a_snapshot_reads_back_as_written(tmp_path: Path) -> None:
    write(SnapshotFiles(tmp_path), 42, CHUNKS)
    files = SnapshotFiles(tmp_path)
    assert files.meta == SnapshotMeta(42, 3, ["m1", "m2"])
    assert list(files.load()) == CHUNKS


def test_an_unfinished_snapshot_leaves_the_former_one(tmp_path: Path) -> None:
    files = SnapshotFiles(tmp_path)
    write(files, 1, CHUNKS)
    endless: Iterator[bytes] = itertools.repeat(b"x" * 100)
    files.begin(SnapshotMeta(2, 3, []), endless)
    assert files.step(0.001) is None
    again = SnapshotFiles(tmp_path)
    assert again.meta is not None and again.meta.index == 1
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


def test_a_snapshot_cut_or_garbled_anywhere_is_refused(tmp_path: Path) -> None:
    write(SnapshotFiles(tmp_path), 42, [b"header", b"abc" * 9, b"d"])
    path = tmp_path / "snapshot"
    data = path.read_bytes()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(FatalStoreError):
            verify(path)
    for offset in range(len(data)):
        garbled = bytearray(data)
        garbled[offset] ^= 0x21
        path.write_bytes(garbled)
        with pytest.raises(FatalStoreError):
            verify(path)


def test_a_snapshot_travels_in_pieces_and_a_damaged_one_is_not_installed(tmp_path: Path) -> None:
    sender, receiver = SnapshotFiles(tmp_path / "a"), SnapshotFiles(tmp_path / "b")
    write(sender, 42, CHUNKS)
    source = sender.open_for_sending()
    assert source is not None
    write(sender, 50, CHUNKS)  # a newer one does not disturb the transfer

    def transfer(damage_at: int | None) -> None:
        offset = 0
        while offset < source.total_bytes:
            data = bytearray(source.read(offset, 100))
            if damage_at is not None and offset <= damage_at < offset + len(data):
                data[damage_at - offset] ^= 1
            offset = receiver.receive(source.snapshot_id, offset, bytes(data), source.total_bytes)
            assert receiver.receive(source.snapshot_id, 0, b"again", source.total_bytes) == offset

    transfer(damage_at=500)
    assert receiver.install() is None and receiver.meta is None
    transfer(damage_at=None)
    assert receiver.install() == SnapshotMeta(42, 3, ["m1", "m2"])
    assert list(receiver.load()) == CHUNKS
    source.close()
