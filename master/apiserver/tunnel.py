"""A connection that has left HTTP: raw bytes both ways, bounded in both directions."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

READ_BUFFER_BYTES = 256 * 1024
"""Bytes held for the reader before the socket is left alone."""
PING_S = 2.0
"""How often a client is spoken to: on a socket that nobody reads, only a write learns that the other side has gone."""


class _Flow(Protocol):
    async def drain(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Tunnel:
    """Handed to the application in the scope (`scope["tunnel"]`) of a request that asks for an upgrade."""

    def __init__(self, transport: asyncio.Transport, flow: _Flow, on_accept: Callable[[], None]) -> None:
        self._transport = transport
        self._flow = flow
        self._on_accept = on_accept
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self.gone = asyncio.Event()
        """Set when the client has: also while nobody reads."""

    # What the protocol calls.

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > READ_BUFFER_BYTES:
            self._flow.pause_reading()
        self._news.set()

    def feed_end(self) -> None:
        self.gone.set()
        self._news.set()

    # What the application calls.

    def accept(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer 101; from here on the connection belongs to the caller."""
        self._on_accept()
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n")
        self._flow.resume_reading()

    async def read(self) -> bytes:
        """What has come; empty at the end."""
        while not self._buffer and not self.gone.is_set():
            self._news.clear()
            await self._news.wait()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._flow.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self.gone.is_set() or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        await self._flow.drain()

    def close(self) -> None:
        self._transport.close()
