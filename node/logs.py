"""Reads container logs as `kubectl logs` asks for them, out of CRI files and Docker's json-files.

Bounded in memory however large the file: the tail is found by reading backwards in blocks, lines are streamed, and a
single line longer than `MAX_LINE_BYTES` is cut. `parse_*` are pure; `read_log` does the file work.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from master.api.timestamps import parse_rfc3339

BLOCK_BYTES = 64 * 1024
MAX_LINE_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
"""Lines are gathered up to this size before they are passed on."""
POLL_S = 0.1
"""How often a followed file is looked at: one stat, cheaper than an inotify instance (a machine has 128 of them)."""

LogFormat = Literal["cri", "docker-json"]


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`tail_lines` None means all; `since_s` is an epoch time; `limit_bytes` counts what is sent."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_s: float | None = None
    limit_bytes: int | None = None
    stream: Literal["All", "Stdout", "Stderr"] = "All"


class LogLine(msgspec.Struct, frozen=True):
    """One written piece: `text` ends in a newline unless the line was split by the engine (`partial`)."""

    time: str
    stream: str
    text: bytes
    partial: bool


class _DockerLine(msgspec.Struct):
    log: str = ""
    stream: str = "stdout"
    time: str = ""


_decode_docker = msgspec.json.Decoder(_DockerLine).decode


def parse_cri(line: bytes) -> LogLine | None:
    """`<time> stdout F text`; None for anything else."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    partial = parts[2].startswith(b"P")
    text = parts[3] if len(parts) == 4 else b""
    return LogLine(parts[0].decode("ascii", "replace"), parts[1].decode(), text if partial else text + b"\n", partial)


def parse_docker(line: bytes) -> LogLine | None:
    """`{"log": "text\\n", "stream": "stdout", "time": "…"}`; None for anything else."""
    try:
        parsed = _decode_docker(line)
    except msgspec.MsgspecError:
        return None
    return LogLine(parsed.time, parsed.stream, parsed.log.encode(), not parsed.log.endswith("\n"))


PARSERS: dict[str, Callable[[bytes], LogLine | None]] = {"cri": parse_cri, "docker-json": parse_docker}


class LineFilter:
    """Lines → bytes to send, by the options. Pure; remembers how much was sent and whether a line is half told."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._in_line = False

    @property
    def exhausted(self) -> bool:
        return self._left is not None and self._left <= 0

    def feed(self, line: LogLine) -> bytes:
        options = self._options
        if options.stream != "All" and line.stream != options.stream.lower():
            return b""
        if options.since_s is not None and _before(line.time, options.since_s):
            return b""
        data = line.text
        if options.timestamps and not self._in_line:
            data = line.time.encode() + b" " + data
        self._in_line = line.partial
        if self._left is not None:
            data = data[: max(0, self._left)]
            self._left -= len(data)
        return data


def _before(time: str, since_s: float) -> bool:
    try:
        return parse_rfc3339(time) < since_s
    except ValueError:
        return False


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines begin."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    position, missing = end, lines
    first = True
    while position > 0:
        start = max(0, position - BLOCK_BYTES)
        file.seek(start)
        block = file.read(position - start)
        if first and block.endswith(b"\n"):
            block = block[:-1]
        first = False
        found = block.count(b"\n")
        if found >= missing:
            index = len(block)
            for _ in range(missing):
                index = block.rindex(b"\n", 0, index)
            return start + index + 1
        missing -= found
        position = start
    return 0


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines from here to the end; an unfinished last line is left for later (the position stays before it)."""
    while True:
        start = file.tell()
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            return
        if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
            file.seek(start)
            return
        yield line


async def read_log(
    path: Path,
    form: LogFormat,
    options: LogOptions,
    *,
    is_over: Callable[[], Awaitable[bool]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[bytes]:
    """The log in chunks. When following, `is_over` is asked while nothing new comes; after it said yes the rest is
    read once more and the stream ends."""
    if not path.exists():
        if not options.follow:
            return
        while not path.exists():
            if await is_over():
                return
            await sleep(POLL_S)
    parse, sieve = PARSERS[form], LineFilter(options)
    file: BinaryIO = path.open("rb")
    try:
        if options.tail_lines is not None:
            file.seek(tail_offset(file, options.tail_lines))
        last_round = not options.follow
        while True:
            for chunk in _chunks(file, parse, sieve):
                yield chunk
                if sieve.exhausted:
                    return
                await asyncio.sleep(0)  # a large file must not keep the loop from its other duties
            if sieve.exhausted or last_round:
                return
            if await is_over():
                last_round = True
                continue
            await sleep(POLL_S)
            file = _reopened(file, path)
    finally:
        file.close()


def _chunks(file: BinaryIO, parse: Callable[[bytes], LogLine | None], sieve: LineFilter) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = scanned = 0
    for raw in _lines(file):
        scanned += len(raw)
        line = parse(raw)
        if line is not None:
            data = sieve.feed(line)
            parts.append(data)
            size += len(data)
        if size >= CHUNK_BYTES or scanned >= 16 * CHUNK_BYTES or sieve.exhausted:
            yield b"".join(parts)
            parts, size, scanned = [], 0, 0
            if sieve.exhausted:
                return
    if size:
        yield b"".join(parts)


def _reopened(file: BinaryIO, path: Path) -> BinaryIO:
    """The same file, or its successor when the log was rotated and the old one is read to its end."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return file
    old = os.fstat(file.fileno())
    if (now.st_ino, now.st_dev) == (old.st_ino, old.st_dev):
        if now.st_size < file.tell():
            file.seek(0)
        return file
    if file.tell() < old.st_size:
        return file
    file.close()
    return path.open("rb")
