"""One exec or attach: what is said between a client's WebSocket and a process in a container.

It ends when the process has ended, when the client has gone, or when neither has said a word for very long. A client
that goes without a word is found out by pings: while a process does not take its input, nothing of what the client
sends is read any more, not even that it has closed the connection.
"""

import asyncio
import contextlib
import logging
import time

from aiohttp import WSMsgType, web

from node.engine.base import STDERR, STDOUT, EngineError, ExecSession
from node.streams import (
    PROTOCOLS,
    Resize,
    StdinClosed,
    StdinData,
    exit_status,
    failure_status,
    first_channel,
    parse_message,
)

log = logging.getLogger(__name__)

PIECE_BYTES = 32 * 1024
MAX_MESSAGE_BYTES = 1024 * 1024
IDLE_S = 4 * 3600.0
"""A stream without a word from either side is closed after this time (CIS 4.2.5: never unlimited)."""
PING_S = 5.0


class Conversation:
    """`run` once; the session is closed at the end, whatever happens."""

    def __init__(self, session: ExecSession, *, stdout: bool, stderr: bool, tell_code: bool) -> None:
        self._socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=MAX_MESSAGE_BYTES)
        self._session = session
        self._wanted = {STDOUT: stdout, STDERR: stderr}
        self._tell_code = tell_code
        self._last_word_s = time.monotonic()

    async def run(self, request: web.Request) -> web.StreamResponse:
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._socket.prepare(request)
            await self._socket.send_bytes(bytes([first_channel(self._wanted[STDOUT], self._wanted[STDERR])]))
            tasks += [asyncio.create_task(part) for part in (self._outward(), self._inward(), self._watch())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ConnectionError:
            log.debug("a client of exec or attach has gone")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._session.close()
        await self._socket.close()
        return self._socket

    async def _outward(self) -> None:
        try:
            while (piece := await self._session.read()) is not None:
                self._last_word_s = time.monotonic()
                stream, data = piece
                for start in range(0, len(data) if self._wanted[stream] else 0, PIECE_BYTES):
                    await self._socket.send_bytes(bytes([stream]) + data[start : start + PIECE_BYTES])
            code = await self._session.wait() if self._tell_code else 0
        except EngineError as error:
            await self._socket.send_bytes(failure_status(str(error)))
            return
        await self._socket.send_bytes(exit_status(code))

    async def _inward(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.BINARY:
                continue
            self._last_word_s = time.monotonic()
            match parse_message(message.data):
                case StdinData(data):
                    await self._session.write(data)
                case StdinClosed():
                    await self._session.close_stdin()
                case Resize(width, height):
                    with contextlib.suppress(EngineError):  # a process that has just ended has no window
                        await self._session.resize(width, height)

    async def _watch(self) -> None:
        """Ends when neither side has spoken for long; raises `ConnectionError` when the client is not there."""
        while time.monotonic() - self._last_word_s < IDLE_S:
            await asyncio.sleep(PING_S)
            try:
                async with asyncio.timeout(PING_S):
                    await self._socket.ping()
            except TimeoutError:
                pass  # more output is on its way than the client takes: it may still be there
