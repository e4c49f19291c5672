"""exec and attach for clients that speak SPDY: their streams become the channels of a WebSocket to the kubelet."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from master.apiserver import errors
from master.apiserver.context import Context
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response
from master.apiserver.streams.exec import ClientGone, destination, hear_out
from master.apiserver.streams.spdy import (
    Data,
    GoingAway,
    PingReceived,
    SpdyConnection,
    SpdyError,
    StreamOpened,
    StreamReset,
)
from master.apiserver.tunnel import PING_S, Tunnel

log = logging.getLogger("apiserver.streams")

CHANNELS = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
WITH_STATUS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
PROTOCOLS = (*WITH_STATUS, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""The older three have no exit codes: their error stream carries text."""
VERSION_HEADER = b"x-stream-protocol-version"
KUBELET_PROTOCOL = "v5.channel.k8s.io"
STREAMS_TIMEOUT_S = 30.0
"""Kubernetes' `streamCreationTimeout`."""
GOODBYE_S = 5.0
PIECE_BYTES = 32 * 1024
PINGS_MAX = 1 << 30
"""Their numbers have 31 bits."""


async def tunnel_spdy(context: Context, request: Request, target: Target) -> Response | None:
    kubelet, path, query = await destination(context, request, target)
    offered = [name.strip() for name in request.header(VERSION_HEADER).split(",")]
    protocol = next((name for name in offered if name in PROTOCOLS), None)
    if protocol is None:
        refusal = errors.make(403, "Forbidden", f"none of the stream protocols {offered} is served")
        headers = [(b"x-accepted-stream-protocol-versions", name.encode()) for name in PROTOCOLS]
        response = Response(msgspec.json.encode(refusal.status), 403)
        response.headers += headers
        return response
    tunnel: Tunnel = request.scope["tunnel"]
    answer = [(b"Connection", b"Upgrade"), (b"Upgrade", b"SPDY/3.1"), (VERSION_HEADER, protocol.encode())]
    try:
        async with context.kubelets.connect(kubelet, path, query, (KUBELET_PROTOCOL,)) as upstream:
            tunnel.accept(answer)
            try:
                await SpdyBridge(tunnel, upstream, _wanted(request), with_status=protocol in WITH_STATUS).run()
            finally:
                tunnel.close()
    except ClientGone:
        log.debug("cut off from a kubelet that took no input: %s", path)
    return None


def _wanted(request: Request) -> set[int]:
    """The channels that the client will open a stream for."""
    wanted = {ERROR} | {CHANNELS[name] for name in ("stdin", "stdout", "stderr") if request.flag(name)}
    return wanted | {RESIZE} if request.flag("tty") else wanted


class SpdyBridge:
    def __init__(
        self, tunnel: Tunnel, upstream: aiohttp.ClientWebSocketResponse, wanted: set[int], *, with_status: bool
    ) -> None:
        self._tunnel = tunnel
        self._upstream = upstream
        self._wanted = wanted
        self._with_status = with_status
        self._spdy = SpdyConnection()
        self._channels: dict[int, int] = {}
        self._streams: dict[int, int] = {}
        self._complete = asyncio.Event()

    async def run(self) -> None:
        inward = asyncio.create_task(self._from_client())
        vanished = asyncio.create_task(self._tunnel.gone.wait())
        outward = asyncio.create_task(self._from_kubelet())
        opened = asyncio.create_task(self._complete.wait())
        tasks: list[asyncio.Task[Any]] = [inward, vanished, outward, opened, asyncio.create_task(self._ping())]
        try:
            async with asyncio.timeout(STREAMS_TIMEOUT_S):
                await _first(opened, inward, vanished)
            await _first(outward, inward, vanished)
            if self._tunnel.gone.is_set():
                await hear_out(inward)
            elif outward.done():
                await asyncio.wait((inward,), timeout=GOODBYE_S)
        except (TimeoutError, ConnectionResetError):
            return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ping(self) -> None:
        """Numbered evenly, as a server's are; nobody waits for the answers."""
        await self._complete.wait()
        for number in range(1, PINGS_MAX):
            await asyncio.sleep(PING_S)
            await self._tunnel.write(self._spdy.ping(2 * number))

    async def _from_client(self) -> None:
        """Streams and their data, until the client says goodbye or hangs up."""
        async for event in self._events():
            match event:
                case StreamOpened(stream, headers, _):
                    await self._open(stream, headers.get("streamtype", ""))
                case Data(stream, data, fin):
                    await self._pass_on(stream, data, fin=fin)
                case PingReceived(identifier) if identifier % 2:
                    await self._tunnel.write(self._spdy.ping(identifier))
                case StreamReset(stream):
                    self._streams.pop(self._channels.pop(stream, -1), None)
                case GoingAway():
                    return

    async def _events(self) -> AsyncIterator[StreamOpened | Data | StreamReset | GoingAway | PingReceived]:
        while data := await self._tunnel.read():
            try:
                for event in self._spdy.feed(data):
                    yield event
            except SpdyError:
                return

    async def _open(self, stream: int, kind: str) -> None:
        channel = CHANNELS.get(kind)
        if channel is None or channel in self._streams:
            return
        self._channels[stream] = channel
        self._streams[channel] = stream
        await self._tunnel.write(self._spdy.reply(stream))
        if self._wanted <= self._streams.keys():
            self._complete.set()

    async def _pass_on(self, stream: int, data: bytes, *, fin: bool) -> None:
        channel = self._channels.get(stream)
        if channel not in (STDIN, RESIZE) or self._upstream.closed:
            return
        with contextlib.suppress(ConnectionError):  # the kubelet has finished; its last words are on the way out
            if data:
                await self._upstream.send_bytes(bytes((channel,)) + data)
            if fin and channel == STDIN:
                await self._upstream.send_bytes(b"\xff\x00")

    async def _from_kubelet(self) -> None:
        await self._complete.wait()
        async for message in self._upstream:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == ERROR and data:
                await self._finish(data)
                return
            if channel in (STDOUT, STDERR) and channel in self._streams:
                for at in range(0, len(data), PIECE_BYTES):
                    piece = data[at : at + PIECE_BYTES]
                    await self._tunnel.write(self._spdy.data(self._streams[channel], piece))
        await self._finish(b'{"metadata":{},"status":"Failure","message":"the kubelet broke off","code":500}')

    async def _finish(self, status: bytes) -> None:
        """Output ends, then the verdict."""
        for channel in (STDOUT, STDERR):
            if channel in self._streams:
                await self._tunnel.write(self._spdy.data(self._streams[channel], b"", fin=True))
        if ERROR in self._streams:
            body = status if self._with_status else _as_text(status)
            await self._tunnel.write(self._spdy.data(self._streams[ERROR], body, fin=True))


def _as_text(status: bytes) -> bytes:
    tree = msgspec.json.decode(status)
    return b"" if tree.get("status") == "Success" else str(tree.get("message", "")).encode()


async def _first(*tasks: "asyncio.Task[object]") -> None:
    """Until one has ended; its failure is raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
