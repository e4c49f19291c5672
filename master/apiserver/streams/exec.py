"""exec and attach over WebSocket: the client's frames to the kubelet and back, unchanged.

Both sides speak the same framing (first byte: the channel), so nothing is taken apart here; all that is chosen is the
subprotocol. Refusals come before the upgrade, as ordinary Status answers.
"""

import asyncio

import aiohttp
from starlette.websockets import WebSocket

from master.api.status import BadRequest
from master.apiserver import errors
from master.apiserver.context import Context
from master.apiserver.kubelet_client import Kubelet, Query, passed_on
from master.apiserver.request import Request, Target
from master.apiserver.streams.target import container_of, find_pod, kubelet_of

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
FLAGS = ("stdin", "stdout", "stderr", "tty")
CLOSE_NORMAL, CLOSE_GOING_AWAY = 1000, 1001


async def destination(context: Context, request: Request, target: Target) -> tuple[Kubelet, str, Query]:
    """(kubelet, path, query) of an exec or attach; every reason to refuse it is found here."""
    pod = await find_pod(context, target.namespace, target.name)
    container = container_of(pod, request.param("container"))
    kubelet = await kubelet_of(context, pod)
    if target.subresource == "exec" and not request.query.get("command"):
        raise BadRequest("you must specify at least one command for the container")
    if not any(request.flag(name) for name in ("stdin", "stdout", "stderr")):
        raise BadRequest("you must specify at least one of stdin, stdout, stderr")
    path = f"/{target.subresource}/{target.namespace}/{target.name}/{container}"
    return kubelet, path, passed_on(request.query, ("command",), FLAGS)


async def tunnel_websocket(context: Context, request: Request, target: Target) -> None:
    kubelet, path, query = await destination(context, request, target)
    offered = request.scope.get("subprotocols") or []
    protocol = next((name for name in offered if name in PROTOCOLS), None)
    if protocol is None:
        raise errors.make(403, "Forbidden", f"none of the subprotocols {list(offered)} is served: {list(PROTOCOLS)}")
    upstream = await context.kubelets.connect(kubelet, path, query, (protocol,))
    try:
        client = WebSocket(request.scope, request.receive, request.send)
        await client.accept(protocol)
        await _both_ways(client, upstream)
    finally:
        await upstream.close()


async def _both_ways(client: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    """Until the kubelet has finished or the client has gone."""
    inward = asyncio.create_task(_from_client(client, upstream))
    try:
        code = await _from_kubelet(client, upstream, inward)
        if not inward.done():
            await client.close(code)
    finally:
        inward.cancel()


async def _from_client(client: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        message = await client.receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close()
            return
        data = message.get("bytes")
        await upstream.send_bytes(data if data is not None else message["text"].encode())


async def _from_kubelet(
    client: WebSocket, upstream: aiohttp.ClientWebSocketResponse, inward: asyncio.Task[None]
) -> int:
    async for message in upstream:
        if inward.done():
            break
        if message.type is aiohttp.WSMsgType.BINARY:
            await client.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await client.send_text(message.data)
    return CLOSE_NORMAL if upstream.close_code in (None, CLOSE_NORMAL) else CLOSE_GOING_AWAY
