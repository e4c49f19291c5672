"""Reading and writing plain descriptors (pipes, terminals) from asyncio, without threads."""

import asyncio
import os

READ_BYTES = 64 * 1024


async def read_some(fd: int) -> bytes:
    """Empty at the end; a terminal whose last process has gone (EIO) has ended too."""
    os.set_blocking(fd, False)
    while True:
        try:
            return os.read(fd, READ_BYTES)
        except BlockingIOError:
            await _ready(fd, for_writing=False)
        except OSError:
            return b""


async def write_all(fd: int, data: bytes) -> bool:
    """False when nobody reads any more."""
    os.set_blocking(fd, False)
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            await _ready(fd, for_writing=True)
        except OSError:
            return False
    return True


async def _ready(fd: int, *, for_writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if for_writing else (loop.add_reader, loop.remove_reader)
    add(fd, _finish, ready)
    try:
        await ready
    finally:
        remove(fd)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
