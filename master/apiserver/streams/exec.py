"""exec and attach over WebSocket: the client's frames to the kubelet and back, unchanged.

Both sides speak the same framing (first byte: the channel), so nothing is taken apart here; all that is chosen is the
subprotocol. Refusals come before the upgrade, as ordinary Status answers.

A message is read when the one before has been taken by the kubelet: that is all the backpressure there is, and why a
client's end cannot be learned from its messages alone.
"""

import asyncio
import contextlib
import logging

import aiohttp
from starlette.websockets import WebSocket, WebSocketDisconnect

from master.api.status import BadRequest
from master.apiserver import errors
from master.apiserver.context import Context
from master.apiserver.kubelet_client import Kubelet, Query, passed_on
from master.apiserver.request import Request, Target
from master.apiserver.streams.target import container_of, find_pod, kubelet_of

log = logging.getLogger("apiserver.streams")

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
FLAGS = ("stdin", "stdout", "stderr", "tty")
CLOSE_NORMAL, CLOSE_GOING_AWAY = 1000, 1001
LAST_WORDS_S = 1.0


class ClientGone(Exception):
    """It left while its input was not taken."""


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
    try:
        async with context.kubelets.connect(kubelet, path, query, (protocol,)) as upstream:
            client = WebSocket(request.scope, request.receive, request.send)
            await client.accept(protocol)
            await _both_ways(client, upstream, request.scope["state"]["gone"])
    except ClientGone:
        log.debug("cut off from a kubelet that took no input: %s", path)


async def _both_ways(client: WebSocket, upstream: aiohttp.ClientWebSocketResponse, gone: asyncio.Event) -> None:
    """Until the kubelet has finished or the client has gone."""
    inward = asyncio.create_task(_from_client(client, upstream))
    outward = asyncio.create_task(_from_kubelet(client, upstream))
    vanished = asyncio.create_task(gone.wait())
    tasks = (inward, outward, vanished)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if gone.is_set():
            await hear_out(inward)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def hear_out(inward: asyncio.Task[None]) -> None:
    """What a client said before it went is passed on, if the kubelet takes it."""
    await asyncio.wait((inward,), timeout=LAST_WORDS_S)
    if not inward.done():
        raise ClientGone


async def _from_client(client: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    while (message := await client.receive())["type"] != "websocket.disconnect":
        data = message.get("bytes")
        with contextlib.suppress(ConnectionError):  # the kubelet has finished; its last words are on the way out
            await upstream.send_bytes(data if data is not None else message["text"].encode())


async def _from_kubelet(client: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.BINARY:
                await client.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await client.send_text(message.data)
        await client.close(CLOSE_NORMAL if upstream.close_code in (None, CLOSE_NORMAL) else CLOSE_GOING_AWAY)
