"""The write-ahead log: what a cut or a damaged file gives back, or that it is refused."""

import shutil
from pathlib import Path

import pytest

from raftstore.errors import FatalStoreError
from raftstore.raft.wal import WriteAheadLog
from raftstore.raft.wal_format import HEADER_BYTES

SEGMENT = 2048


def open_log(directory: Path) -> WriteAheadLog:
    return WriteAheadLog(directory, segment_bytes=SEGMENT)


def state_of(log: WriteAheadLog) -> tuple[list, int, str | None]:
    return log[:], log.getCurrentTerm(), log.getVotedForNodeId()


def fill(directory: Path, frames: int) -> list[tuple[int, tuple[list, int, str | None]]]:
    """Write frames of every kind; where each ended in the (only) segment, and the state then."""
    log = open_log(directory)
    ends = [(log._offset, state_of(log))]
    for number in range(frames):
        last = log[-1][1]
        log.add(b"\0" + bytes([number]) * (number % 23), last + 1, 1 + number // 4)
        if number % 5 == 1:
            log.add(b"\0second", last + 2, 1 + number // 4)
        if number % 5 == 3:
            log.setCurrentTerm(1 + number // 4, f"m{number}")
        if number % 7 == 6:
            log.deleteEntriesFrom(len(log) - 2)
        log.setRaftCommitIndex(log[-1][1] // 2 + 1)
        log.onOneSecondTimer()
        log.sync()
        ends.append((log._offset, state_of(log)))
    log._destroy()
    return ends


def only_segment(directory: Path) -> Path:
    (path,) = directory.glob("*.wal")
    return path


def test_what_was_synced_is_there_after_reopening(tmp_path: Path) -> None:
    ends = fill(tmp_path / "log", 10)
    log = open_log(tmp_path / "log")
    assert state_of(log) == ends[-1][1]
    assert log.durable_index == log[-1][1]
    log._destroy()


def test_what_was_not_synced_is_not_there(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.add(b"\0a", 2, 1)
    log.sync()
    log.add(b"\0b", 3, 1)
    assert log.durable_index == 2
    shutil.copytree(tmp_path, tmp_path / "copy")
    copy = open_log(tmp_path / "copy")
    assert copy[-1][1] == 2
    copy._destroy()
    log._destroy()


def test_a_file_cut_anywhere_gives_back_exactly_the_complete_frames(tmp_path: Path) -> None:
    ends = fill(tmp_path / "log", 10)
    data = only_segment(tmp_path / "log").read_bytes()
    for cut in range(ends[-1][0] + 1):
        directory = tmp_path / "cut"
        shutil.copytree(tmp_path / "log", directory)
        only_segment(directory).write_bytes(data[:cut])
        log = open_log(directory)
        complete = [state for end, state in ends if end <= cut]
        assert state_of(log) == (complete[-1] if complete else ([(b"\1", 1, 0)], 0, None))
        if cut % 5:
            log._destroy()
            shutil.rmtree(directory)
            continue
        # And it goes on from there.
        log.add(b"\0more", log[-1][1] + 1, 9)
        log.sync()
        expected = state_of(log)
        log._destroy()
        log = open_log(directory)
        assert state_of(log) == expected
        log._destroy()
        shutil.rmtree(directory)


def test_a_byte_garbled_anywhere_is_refused_or_costs_only_the_last_frame(tmp_path: Path) -> None:
    ends = fill(tmp_path / "log", 10)
    data = only_segment(tmp_path / "log").read_bytes()
    last_but_one = ends[-2]
    for offset in range(ends[-1][0]):
        directory = tmp_path / "garbled"
        shutil.copytree(tmp_path / "log", directory)
        garbled = bytearray(data)
        garbled[offset] ^= 0x5A
        path = only_segment(directory)
        path.write_bytes(garbled)
        if offset >= last_but_one[0]:
            log = open_log(directory)
            assert state_of(log) == last_but_one[1]
            log._destroy()
        else:
            with pytest.raises(FatalStoreError) as refusal:
                open_log(directory)
            assert str(path) in str(refusal.value)
            damaged_frame_start = max(end for end, _ in [(0, None), *ends] if end <= offset)
            assert f"offset {damaged_frame_start}" in str(refusal.value)
        shutil.rmtree(directory)


def test_segments_roll_are_recycled_and_damage_in_an_old_one_is_found(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    log = open_log(directory)
    log.setCurrentTerm(7, "m1")
    for index in range(2, 60):
        log.add(b"\0" + bytes([index]) * 200, index, 7)
        log.sync()
    assert len(list(directory.glob("*.wal"))) > 4
    log.deleteEntriesTo(30)
    assert (directory / "spare").exists()
    for index in range(60, 90):
        log.add(b"\0" + bytes([index]) * 200, index, 7)
        log.sync()
    kept = log[:]
    log._destroy()

    log = open_log(directory)
    assert (log.getCurrentTerm(), log.getVotedForNodeId()) == (7, "m1")
    assert log[-len(kept) :] == kept
    log._destroy()

    oldest = min(directory.glob("*.wal"))
    for offset in (HEADER_BYTES + 3, 700):
        data = bytearray(oldest.read_bytes())
        data[offset] ^= 1
        shutil.copytree(directory, tmp_path / "damaged")
        (tmp_path / "damaged" / oldest.name).write_bytes(data)
        with pytest.raises(FatalStoreError):
            open_log(tmp_path / "damaged")
        shutil.rmtree(tmp_path / "damaged")
    middle = sorted(directory.glob("*.wal"))[1]
    middle.unlink()
    with pytest.raises(FatalStoreError, match="missing"):
        open_log(directory)


def test_a_restart_at_a_snapshot_survives_and_old_entries_do_not_return(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for index in range(2, 30):
        log.add(b"\0" + bytes(200), index, 1)
        log.sync()
    log.restart_at(1000, 5)
    log.add(b"\0x", 1001, 5)
    log.sync()
    log.deleteEntriesTo(0)
    log._destroy()
    log = open_log(tmp_path)
    assert log[:] == [(b"\1", 1000, 5), (b"\0x", 1001, 5)]
    log._destroy()


def test_a_truncation_below_what_older_segments_held_is_replayed(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for index in range(2, 40):
        log.add(b"\0" + bytes(200), index, 1)
        log.sync()
    log.deleteEntriesTo(15)
    log.deleteEntriesFrom(5)
    log.add(b"\0new", log[-1][1] + 1, 2)
    log.sync()
    expected = log[:]
    log._destroy()
    log = open_log(tmp_path)
    assert log[-len(expected) :] == expected
    log._destroy()


def test_an_entry_larger_than_a_segment_is_kept(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.add(b"\0" + bytes(5 * SEGMENT), 2, 1)
    log.sync()
    log.add(b"\0after", 3, 1)
    log.sync()
    log._destroy()
    log = open_log(tmp_path)
    assert [len(entry[0]) for entry in log[:]] == [1, 5 * SEGMENT + 1, 6]
    log._destroy()


def test_a_value_that_looks_like_a_frame_is_only_a_value(tmp_path: Path) -> None:
    first = open_log(tmp_path / "one")
    first.add(b"\0payload", 2, 1)
    first.sync()
    frames = only_segment(tmp_path / "one").read_bytes()[: first._offset]
    first._destroy()
    log = open_log(tmp_path / "two")
    log.add(b"\0" + frames, 2, 1)
    log.sync()
    log._destroy()
    path = only_segment(tmp_path / "two")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES * 2 + 90] ^= 1  # the last frame's head is torn, what it carried is not
    path.write_bytes(data)
    log = open_log(tmp_path / "two")
    assert log[-1][1] == 1
    log._destroy()


def test_a_log_is_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with pytest.raises(FatalStoreError, match="in use"):
        open_log(tmp_path)
    log._destroy()


def test_a_lost_salt_is_refused(tmp_path: Path) -> None:
    open_log(tmp_path)._destroy()
    (tmp_path / "salt").unlink()
    with pytest.raises(FatalStoreError, match="salt"):
        open_log(tmp_path)
