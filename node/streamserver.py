"""exec, attach and port-forward: WebSockets from the API server, joined to processes and ports of pods.

Every refusal comes before the upgrade, as an ordinary answer; a request without the upgrade is never carried out.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping

from aiohttp import WSMsgType, web

from node.context import NodeContext
from node.conversation import IDLE_S, MAX_MESSAGE_BYTES, PIECE_BYTES, Conversation
from node.engine.base import ExecSession
from node.netns import socket_in
from node.podview import PodView, Refused
from node.query import flag
from node.streams import PROTOCOLS

MAX_PORTS = 16


class StreamServer:
    def __init__(self, context: NodeContext, view: PodView) -> None:
        self._context = context
        self._view = view

    async def exec(self, request: web.Request) -> web.StreamResponse:
        names, query = request.match_info, request.query
        state = self._view.running(self._view.find(names["namespace"], names["pod"]), names["container"])
        command = query.getall("command", [])
        if not command:
            raise Refused(400, "you must specify at least one command for the container")
        flags = stream_flags(query)
        require_upgrade(request)
        session = await self._context.engine.exec(state.id, command, tty=flags["tty"], stdin=flags["stdin"])
        return await conversation(session, flags, tell_code=True).run(request)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        names, query = request.match_info, request.query
        state = self._view.running(self._view.find(names["namespace"], names["pod"]), names["container"])
        flags = stream_flags(query)
        require_upgrade(request)
        session = await self._context.engine.attach(state.id, stdin=flags["stdin"])
        return await conversation(session, flags, tell_code=False).run(request)

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        """Channels 2i (data) and 2i+1 (error) for the i-th port; both begin with the port in two bytes."""
        names = request.match_info
        pod = self._view.find(names["namespace"], names["pod"])
        ports = parse_ports(request.query.getall("ports", []) or request.query.getall("port", []))
        live = self._context.cache.get(pod.metadata.uid).live_sandbox()
        if live is None:
            raise Refused(400, f"pod {pod.metadata.name} is not running")
        require_upgrade(request)
        socket_ = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=MAX_MESSAGE_BYTES)
        await socket_.prepare(request)
        for index, port in enumerate(ports):
            for channel in (2 * index, 2 * index + 1):
                await socket_.send_bytes(bytes([channel]) + struct.pack("<H", port))
        await _forward(socket_, ports, live.netns)
        await socket_.close()
        return socket_


def stream_flags(query: Mapping[str, str]) -> dict[str, bool]:
    return {name: flag(query, name) for name in ("stdin", "stdout", "stderr", "tty")}


def conversation(session: ExecSession, flags: dict[str, bool], *, tell_code: bool) -> Conversation:
    """A terminal has one output."""
    stderr = flags["stderr"] and not flags["tty"]
    return Conversation(session, stdout=flags["stdout"], stderr=stderr, tell_code=tell_code)


def require_upgrade(request: web.Request) -> None:
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Refused(400, "unable to upgrade: this resource speaks WebSocket")
    offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if not any(each in PROTOCOLS for each in offered):
        raise Refused(403, f"unable to upgrade: none of the protocols {offered} is served: {list(PROTOCOLS)}")


def parse_ports(texts: list[str]) -> list[int]:
    try:
        ports = [int(port) for text in texts for port in text.split(",") if port]
    except ValueError as error:
        raise Refused(400, f"not a port: {error}") from error
    if not ports or len(ports) > MAX_PORTS or not all(0 < port < 65536 for port in ports):
        raise Refused(400, f"between one and {MAX_PORTS} ports of 1 to 65535 are needed")
    return ports


# Port forwarding.


async def _forward(socket_: web.WebSocketResponse, ports: list[int], netns: str) -> None:
    """One connection a port, made when the client opens the stream."""
    writers: dict[int, asyncio.StreamWriter] = {}
    tasks: list[asyncio.Task[None]] = []
    try:
        for index, port in enumerate(ports):
            try:
                reader, writers[2 * index] = await _connect(netns, port)
            except OSError as error:
                text = f"error forwarding port {port}: {error}"
                await socket_.send_bytes(bytes([2 * index + 1]) + text.encode())
                continue
            tasks.append(asyncio.create_task(_from_port(socket_, 2 * index, reader)))
        tasks_and_client = [asyncio.create_task(_to_ports(socket_, writers)), *tasks]
        await asyncio.wait(tasks_and_client, return_when=asyncio.FIRST_COMPLETED, timeout=IDLE_S)
        for task in tasks_and_client:
            task.cancel()
    finally:
        for writer in writers.values():
            writer.close()


async def _connect(netns: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the pod's own loopback, where most servers that want to be forwarded listen."""
    if not netns:
        return await asyncio.open_connection("127.0.0.1", port)
    connection: socket.socket = await asyncio.to_thread(socket_in, netns)
    try:
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    except OSError:
        connection.close()
        raise
    return await asyncio.open_connection(sock=connection)


async def _from_port(socket_: web.WebSocketResponse, channel: int, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(PIECE_BYTES):
        await socket_.send_bytes(bytes([channel]) + data)


async def _to_ports(socket_: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter]) -> None:
    async for message in socket_:
        if message.type is WSMsgType.BINARY and message.data and message.data[0] in writers:
            writer = writers[message.data[0]]
            writer.write(message.data[1:])
            await writer.drain()
