"""Logs, exec, attach: requests that end on the node where the pod runs."""

from master.api.scheme import ResourceInfo
from master.apiserver import errors
from master.apiserver.context import Context
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response
from master.apiserver.streams.exec import destination, tunnel_websocket
from master.apiserver.streams.logs import log
from master.apiserver.streams.spdy_exec import tunnel_spdy


async def stream(context: Context, request: Request, target: Target, info: ResourceInfo) -> Response | None:
    is_websocket = request.scope["type"] == "websocket"
    if info.kind == "Pod" and target.subresource == "log" and not is_websocket:
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        return await log(context, request, target)
    if info.kind == "Pod" and target.subresource in ("exec", "attach"):
        if is_websocket:
            await tunnel_websocket(context, request, target)
            return None
        if "tunnel" in request.scope:
            return await tunnel_spdy(context, request, target)
        await destination(context, request, target)
        raise errors.bad_request("Upgrade request required")
    raise errors.make(501, "", f"{target.resource}/{target.subresource} is not served by this server")
