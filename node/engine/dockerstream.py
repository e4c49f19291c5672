"""Docker's streaming calls on its unix socket, without threads: events, and the hijacked streams of exec and attach.

The SDK would hold a thread per stream; here a stream is two asyncio objects.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from node.engine.base import STDOUT
from node.engine.errors import EngineError, EngineUnavailable, NotFound

FRAME_HEADER = struct.Struct(">BxxxL")
READ_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024
# One event is a line of JSON with the container's labels in it.
MAX_EVENT_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
# Some 2 KiB a container.
MAX_ANSWER_BYTES = 16 * 1024 * 1024

T = TypeVar("T")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hijack(socket: str, path: str, body: object) -> Streams:
    """POSTs and takes the connection over as a raw two-way stream."""
    payload = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
    head += f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(payload)}\r\n\r\n"
    return await _request(socket, head.encode() + payload, expect=101)


async def fetch(socket: str, path: str, answer: type[T]) -> T:
    """A GET answered with JSON, at a fifth of what it costs through the SDK: for what is asked every second."""
    reader, writer = await _request(socket, f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode(), expect=200)
    body = bytearray()
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while (piece := await reader.read(READ_BYTES)) and len(body) < MAX_ANSWER_BYTES:
                body += piece
        return msgspec.json.decode(body, type=answer)
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        raise EngineUnavailable(f"docker at {socket}: {error or type(error).__name__}") from error
    finally:
        writer.close()


async def events(socket: str, path: str) -> AsyncIterator[dict[str, Any]]:
    """The daemon's events until it closes the stream. HTTP/1.0, so that lines come without chunk framing."""
    reader, writer = await _request(socket, f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode(), expect=200)
    try:
        while line := await reader.readline():
            yield msgspec.json.decode(line)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise EngineUnavailable(f"docker events: {error}") from error
    finally:
        writer.close()


async def _request(socket: str, request: bytes, *, expect: int) -> Streams:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(socket, limit=MAX_EVENT_BYTES)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        raise EngineUnavailable(f"docker at {socket}: {error or type(error).__name__}") from error
    status = int(head.split(b" ", 2)[1])
    if status == expect:
        return reader, writer
    text = await _error_text(reader)
    writer.close()
    raise (NotFound if status == 404 else EngineError)(f"docker: {text or status}")


async def _error_text(reader: asyncio.StreamReader) -> str:
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            raw = await reader.read(MAX_ERROR_BYTES)
            start, end = raw.find(b"{"), raw.rfind(b"}")
            with contextlib.suppress(msgspec.DecodeError):
                return str(msgspec.json.decode(raw[start : end + 1], type=dict[str, Any]).get("message", ""))
            return raw.decode(errors="replace").strip()
    return ""


class DockerSession:
    """An exec or attach: demultiplexed unless the process has a tty."""

    def __init__(
        self,
        streams: Streams,
        *,
        tty: bool,
        resize: Callable[[int, int], Awaitable[None]],
        wait: Callable[[], Awaitable[int]],
    ) -> None:
        self._reader, self._writer = streams
        self._tty = tty
        self._resize = resize
        self._wait = wait

    async def read(self) -> tuple[int, bytes] | None:
        try:
            if self._tty:
                data = await self._reader.read(READ_BYTES)
                return (STDOUT, data) if data else None
            stream, size = FRAME_HEADER.unpack(await self._reader.readexactly(FRAME_HEADER.size))
            return stream, await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the process does not listen any more: as with any pipe's reader
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        """A terminal's input has no end; Docker would take it for the end of the whole conversation and drop the
        output that is still to come. The process is rid of its terminal when the session is closed."""
        if self._tty:
            return
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def resize(self, width: int, height: int) -> None:
        await self._resize(width, height)

    async def wait(self) -> int:
        return await self._wait()

    async def close(self) -> None:
        self._writer.close()
