"""Exec and attach between a real WebSocket client and a process that is played by the test."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from node import conversation
from node.conversation import Conversation
from node.engine.base import STDOUT
from node.engine.errors import EngineError

PATIENCE_S = 10.0


class Process:
    """Says its lines, then ends; takes input only when `reads`."""

    def __init__(self, lines: list[bytes], *, reads: bool = True, ends: bool = True) -> None:
        self.lines = lines
        self.reads = reads
        self.ends = ends
        self.taken = b""
        self.input_ended = asyncio.Event()
        self.closed = asyncio.Event()

    async def read(self) -> tuple[int, bytes] | None:
        if self.lines:
            return STDOUT, self.lines.pop(0)
        if not self.ends:
            await asyncio.Event().wait()
        await self.input_ended.wait()
        return None

    async def write(self, data: bytes) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.taken += data

    async def close_stdin(self) -> None:
        self.input_ended.set()

    async def resize(self, width: int, height: int) -> None:
        raise EngineError("no window")

    async def wait(self) -> int:
        return 7

    async def close(self) -> None:
        self.closed.set()


def converse(
    process: Callable[[], Process], client: Callable[[aiohttp.ClientSession, str], Awaitable[None]]
) -> Process:
    async def main() -> Process:
        played = process()

        async def handler(request: web.Request) -> web.StreamResponse:
            return await Conversation(played, stdout=True, stderr=False, tell_code=True).run(request)

        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
                await client(session, f"http://127.0.0.1:{port}/")
                await played.closed.wait()
        finally:
            await runner.cleanup()
        return played

    return asyncio.run(main())


def test_output_input_and_exit_code_pass_and_a_failed_resize_harms_nobody() -> None:
    heard: list[bytes] = []

    async def client(session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(url, protocols=("v5.channel.k8s.io",)) as ws:
            await ws.send_bytes(b'\x04{"Width":80,"Height":24}')
            await ws.send_bytes(b"\x00in")
            await ws.send_bytes(b"\xff\x00")
            heard.extend([message.data async for message in ws])

    process = converse(lambda: Process([b"out"]), client)
    assert process.taken == b"in"
    assert heard[:2] == [b"\x01", b"\x01out"] and heard[2][0] == 3 and b'"7"' in heard[2]


def test_a_client_that_vanishes_is_noticed_even_while_the_process_takes_no_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "PING_S", 0.05)

    async def client(session: aiohttp.ClientSession, url: str) -> None:
        ws = await session.ws_connect(url, protocols=("v5.channel.k8s.io",))
        for _ in range(64):  # more than the server reads ahead
            await ws.send_bytes(b"\x00" + b"x" * 65536)
            if ws._response.connection is None:
                break
        assert ws._response.connection is not None and ws._response.connection.transport is not None
        ws._response.connection.transport.abort()

    converse(lambda: Process([], reads=False, ends=False), client)


def test_silence_on_both_sides_ends_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PING_S", 0.01)
    monkeypatch.setattr(conversation, "IDLE_S", 0.1)

    async def client(session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(url, protocols=("v5.channel.k8s.io",)) as ws:
            assert [message.data async for message in ws] == [b"\x01"]

    converse(lambda: Process([], ends=False), client)
