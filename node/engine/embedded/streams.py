"""A container's standard streams in the shim: pipes to its log file, and to whoever is attached.

The pipes are named (FIFOs in the container's folder) and held open by the minder, so that a new shim picks them up
where the old one fell. A terminal is fetched out of the minder's hands instead, and so is an input that is taken once:
its end must be seen by the container, which of a named pipe would hold the feeding end itself.
"""

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from node.engine.embedded.crilog import LineSplitter
from node.engine.embedded.fdio import write_all
from node.engine.embedded.protocol import STDERR, STDOUT

READ_BYTES = 64 * 1024
# The kubelet's containerLogMaxSize; one older file is kept beside it.
MAX_LOG_BYTES = 10 * 1024 * 1024
# How much an attached client may lag behind before it loses output: a container never waits for a spectator.
MAX_LAG_CHUNKS = 256

Listener = asyncio.Queue[tuple[int, bytes] | None]


def make_pipes(folder: Path, uid: int, *, stdin: bool) -> None:
    """Owned by the container's user: programs reopen /dev/stdout."""
    for name in ("stdin", "stdout", "stderr") if stdin else ("stdout", "stderr"):
        path = folder / name
        if not path.exists():
            os.mkfifo(path, 0o600)
        os.chown(path, uid, -1)


def open_for_container(folder: Path, *, stdin: bool) -> list[int]:
    """Read-write each, so that neither side's absence ends or blocks the other."""
    source = os.open(folder / "stdin", os.O_RDWR) if stdin else os.open("/dev/null", os.O_RDONLY)
    return [source, *(os.open(folder / name, os.O_RDWR) for name in ("stdout", "stderr"))]


def open_single_input(uid: int) -> tuple[int, int]:
    """The container's end of an input that is taken once, and the end that feeds it."""
    source, feed = os.pipe()
    os.fchown(source, uid, -1)
    return source, feed


class LogFile:
    """Appends, and starts anew when the file is full."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)
        self._size = os.fstat(self._fd).st_size

    def append(self, lines: bytes) -> None:
        if self._size + len(lines) > MAX_LOG_BYTES and self._size:
            os.rename(self._path, f"{self._path}.1")
            os.close(self._fd)
            self._open()
        with contextlib.suppress(OSError):  # a full disk costs the log, not the container
            os.write(self._fd, lines)
            self._size += len(lines)

    def close(self) -> None:
        os.close(self._fd)


class ContainerStreams:
    """Reads until every writer has closed; `on_end` is called then."""

    def __init__(self, log_path: str, on_end: Callable[[], None]) -> None:
        self._log = LogFile(log_path)
        self._on_end = on_end
        self._splitters: dict[int, LineSplitter] = {}
        self._open: dict[int, int] = {}
        """Descriptor → stream."""
        self._input = -1
        self._writing = asyncio.Lock()
        self._release: Callable[[], None] | None = None
        self._listeners: set[Listener] = set()

    def follow_pipes(self, folder: Path) -> None:
        for name, stream in (("stdout", STDOUT), ("stderr", STDERR)):
            self._follow(os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK), stream)
        path = folder / "stdin"
        if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
            self._input = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def follow_single_input(self, feed: int, release: Callable[[], None]) -> None:
        """Feeds the container until `end_input`; `release` makes the minder let go then."""
        os.set_blocking(feed, False)
        self._input = feed
        self._release = release

    def follow_terminal(self, master: int) -> None:
        if master < 0:
            self._on_end()
            return
        os.set_blocking(master, False)
        self._input = master
        self._follow(master, STDOUT)

    @property
    def terminal(self) -> int:
        return self._input if self._input in self._open else -1

    def listen(self) -> Listener:
        """Everything from now on; None at the end."""
        listener: Listener = asyncio.Queue(MAX_LAG_CHUNKS)
        if self._open:
            self._listeners.add(listener)
        else:
            listener.put_nowait(None)
        return listener

    def unlisten(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def write(self, data: bytes) -> None:
        """To the container's standard input; waits for a program that reads slowly."""
        async with self._writing:
            if self._input >= 0:
                await write_all(self._input, data)

    async def end_input(self) -> None:
        """A client's input has ended: the container's ends with it, if it is taken once."""
        async with self._writing:
            if self._release is None or self._input < 0:
                return
            os.close(self._input)
            self._input = -1
            self._release()

    def close(self) -> None:
        """Also ends those who are attached."""
        for fd in list(self._open):
            self._end(fd)
        if self._input >= 0:
            with contextlib.suppress(OSError):
                os.close(self._input)
            self._input = -1

    def _follow(self, fd: int, stream: int) -> None:
        self._open[fd] = stream
        self._splitters[stream] = LineSplitter(stream)
        asyncio.get_running_loop().add_reader(fd, self._read, fd)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the terminal's last process has gone
            data = b""
        if not data:
            self._end(fd)
            return
        stream = self._open[fd]
        self._log.append(self._splitters[stream].feed(data, time.time_ns()))
        for listener in self._listeners:
            if not listener.full():
                listener.put_nowait((stream, data))

    def _end(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        stream = self._open.pop(fd)
        self._log.append(self._splitters[stream].finish(time.time_ns()))
        os.close(fd)
        if fd == self._input:
            self._input = -1
        if self._open:
            return
        self._log.close()
        for listener in self._listeners:
            if listener.full():
                listener.get_nowait()
            listener.put_nowait(None)
        self._listeners.clear()
        self._on_end()
