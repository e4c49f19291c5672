"""The user's terminal while a command runs in a container: raw keys in, window size out, and back as it was."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Callable, Iterator

CHUNK_BYTES = 32 * 1024
MAX_WAITING_CHUNKS = 64
"""Input read ahead of the network; reading stops beyond it."""


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Keys go to the container one by one, Ctrl-C included. Nothing happens when stdin is no terminal."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def on_resize(tell: Callable[[int, int], None]) -> Iterator[None]:
    """`tell(columns, rows)` now and whenever the window changes."""
    loop = asyncio.get_running_loop()

    def measure() -> None:
        size = shutil.get_terminal_size()
        tell(size.columns, size.lines)

    measure()
    loop.add_signal_handler(signal.SIGWINCH, measure)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


async def read_stdin() -> AsyncIterator[bytes]:
    """Whatever stdin is (terminal, pipe or file). A thread reads, because a file cannot be polled; it is a daemon,
    because a read from a terminal cannot be interrupted and must not keep the process alive."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(MAX_WAITING_CHUNKS)
    descriptor = sys.stdin.fileno()

    def read() -> None:
        data = b"-"
        while data:
            room.acquire()
            try:
                data = os.read(descriptor, CHUNK_BYTES)
            except OSError:
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants the input any more
                loop.call_soon_threadsafe(queue.put_nowait, data)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while data := await queue.get():
        room.release()
        yield data
