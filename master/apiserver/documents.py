"""Everything that is no resource: health, version, metrics, discovery, OpenAPI; and the list of these paths."""

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from master.apiserver import authn, authz, discovery, errors, health, metrics, openapi, version
from master.apiserver.authn import ANONYMOUS, User
from master.apiserver.refusals import page_not_found
from master.apiserver.request import raw_segments

ROUTES = (
    *(Route(f"/{name}", health.all_checks) for name in health.ENDPOINTS),
    *(Route(f"/{name}/{{check}}", health.one_check) for name in health.ENDPOINTS),
    Route("/version", version.version),
    Route("/metrics", metrics.exposition),
    Route("/openapi/v2", openapi.v2),
    Route("/openapi/v3", openapi.index),
    Route("/openapi/v3/{name:path}", openapi.v3),
    Route("/api", discovery.root),
    Route("/apis", discovery.root),
    Route("/api/{version}", discovery.resources),
    Route("/apis/{group}", discovery.group),
    Route("/apis/{group}/{version}", discovery.resources),
)


class PathAccess:
    """ASGI middleware: authorises, and gives the router one spelling of each path (`/version/` is `/version`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        authn.refuse_token(dict(scope["headers"]))
        segments = raw_segments(scope)
        user: User = scope.get("state", {}).get("user", ANONYMOUS)
        verb = scope.get("method", "GET").lower()
        if not authz.may_use_path(user, verb, "/" + "/".join(segments)):
            raise errors.forbidden_path(user, verb, scope["path"])
        path = "/" + "/".join(segment.replace("/", "%2F") for segment in segments)
        await self._app({**scope, "path": path}, receive, send)


async def paths(_: Request) -> Response:
    """`/`: what there is to see."""
    static = {route.path for route in ROUTES if "{" not in route.path}
    versions = {prefix for name in openapi.names() for prefix in (f"/{name}", f"/{name.rpartition('/')[0]}")}
    tree = {"paths": sorted(static | versions | {"/"})}
    return Response(msgspec.json.encode(tree), media_type="application/json")


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Whatever the method: "the server could not find the requested resource" is what kubectl makes of it."""
    await page_not_found()(scope, receive, send)


def documents() -> ASGIApp:
    routes = (Route("/", paths), *ROUTES)
    return Router(routes, redirect_slashes=False, default=nowhere, middleware=[Middleware(PathAccess)])
