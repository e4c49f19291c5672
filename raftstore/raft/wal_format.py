"""The bytes of the write-ahead log: frames, records and their checksums. Pure; `wal.py` tells what they mean."""

import enum
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

FORMAT: Final = 1
_MAGIC: Final = 0x4C415754  # "TWAL"
_HEADER: Final = struct.Struct("<IIQIII")
_CHECKED: Final = struct.Struct("<QIII")
_RECORD: Final = struct.Struct("<BIQQ")
HEADER_BYTES: Final = _HEADER.size


class RecordType(enum.IntEnum):
    """What a record says."""

    ENTRY = 1
    VOTE = 2
    TRUNCATE = 3
    COMMIT = 4
    BASE = 5
    SEGMENT = 6


class Record(NamedTuple):
    """One step of the log's history."""

    type: RecordType
    log_index: int
    term: int
    data: bytes


class Frame(NamedTuple):
    """What one sync made durable."""

    sequence: int
    body: bytes
    crc: int


def encode_record(type_: RecordType, index: int, term: int, data: bytes = b"") -> bytes:
    """A record's bytes."""
    return _RECORD.pack(type_, len(data), index, term) + data


def decode_records(body: bytes) -> Iterator[Record]:
    """The records of a frame whose checksum has been verified."""
    offset = 0
    while offset < len(body):
        type_, length, index, term = _RECORD.unpack_from(body, offset)
        offset += _RECORD.size
        yield Record(RecordType(type_), index, term, body[offset : offset + length])
        offset += length


def encode_frame(body: bytes, salt: int, sequence: int, previous_crc: int) -> tuple[bytes, int]:
    """A frame's bytes and the checksum with which the next one continues."""
    crc = zlib.crc32(body, previous_crc)
    header_crc = zlib.crc32(_CHECKED.pack(sequence, len(body), previous_crc, crc), salt)
    return _HEADER.pack(_MAGIC, header_crc, sequence, len(body), previous_crc, crc) + body, crc


def read_frame(data: bytes, offset: int, salt: int, *, sequence: int | None, previous_crc: int | None) -> Frame | None:
    """The frame at an offset if it verifies and continues the chain (None: the oldest one kept, any will do)."""
    header = _verified_header(data, offset, salt)
    if header is None:
        return None
    found_sequence, length, found_previous_crc, crc = header
    if sequence is not None and (found_sequence != sequence or found_previous_crc != previous_crc):
        return None
    start = offset + HEADER_BYTES
    body = data[start : start + length]
    if len(body) != length or zlib.crc32(body, found_previous_crc) != crc:
        return None
    return Frame(found_sequence, body, crc)


def find_later_frame(data: bytes, offset: int, salt: int, *, after: int) -> int | None:
    """Where, from an offset on, a frame stands that was written later than the one after sequence `after`."""
    magic = struct.pack("<I", _MAGIC)
    position = data.find(magic, offset)
    while position >= 0:
        header = _verified_header(data, position, salt)
        if header is not None and header[0] > after + 1:
            return position
        position = data.find(magic, position + 1)
    return None


def _verified_header(data: bytes, offset: int, salt: int) -> tuple[int, int, int, int] | None:
    if offset + HEADER_BYTES > len(data):
        return None
    magic, header_crc, sequence, length, previous_crc, crc = _HEADER.unpack_from(data, offset)
    if magic != _MAGIC or zlib.crc32(_CHECKED.pack(sequence, length, previous_crc, crc), salt) != header_crc:
        return None
    return sequence, length, previous_crc, crc
