"""The hot path: every URL that names a resource, as one raw ASGI endpoint behind one route.

A route with a regular expression per resource would try dozens of them for each request, and Starlette's paths are
unquoted before they are split; here the path is taken apart once, and the scheme says what it names.
"""

import asyncio
from contextlib import AbstractContextManager
from typing import Any

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from master.api.status import NotFound
from master.apiserver import authn, authz, discovery, errors
from master.apiserver.accounting import TARGET, VERB
from master.apiserver.context import Context
from master.apiserver.handlers import reviews
from master.apiserver.limits import REQUEST_TIMEOUT_S, InFlight
from master.apiserver.negotiation import negotiate
from master.apiserver.request import Request, Target, parse_request, parse_target, raw_segments
from master.apiserver.responses import Response, send_response
from master.apiserver.routes import LONG_RUNNING_SUBRESOURCES, handler_of, verb_of
from master.apiserver.streams.route import stream

WRITE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class ResourceRoute(BaseRoute):
    """Matches the paths of resources, for requests and WebSockets alike: exec is authorised as any other request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        target = parse_target(raw_segments(scope))
        return (Match.NONE, {}) if target is None else (Match.FULL, {TARGET: target})

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NoMatchFound(name, path_params)  # `ResourceInfo.path` builds these

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Resources:
    """Authenticate, authorise, limit, and hand over to the handler of the verb."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inflight = InFlight()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = parse_request(scope, receive, send)
        response = await self._respond(request, scope[TARGET])
        if response is not None:
            await send_response(request, response)

    async def _respond(self, request: Request, target: Target) -> Response | None:
        authn.refuse_token(request.headers)
        verb = request.scope[VERB] = verb_of(request, target)
        if not authz.may_use_resource(request.user, verb, target.resource):
            raise errors.forbidden_resource(
                request.user, verb, target.group, target.resource, target.subresource, target.namespace, target.name
            )
        if not self._context.feed.loaded.is_set():
            raise errors.unavailable("the watch caches are not filled yet")
        with self._place(request, target, verb):
            return await self._resource(request, target, verb)

    def _place(self, request: Request, target: Target, verb: str) -> AbstractContextManager[None]:
        if verb == "watch" or target.subresource in LONG_RUNNING_SUBRESOURCES:
            return self._inflight.place("stream")
        return self._inflight.place("mutating" if request.method in WRITE_METHODS else "readOnly")

    async def _resource(self, request: Request, target: Target, verb: str) -> Response | None:
        info = target.info
        if (target.group, target.version) in discovery.VIRTUAL and verb == "create":
            form = negotiate(request.header(b"accept"))
            known = [plural for plural, _ in discovery.VIRTUAL[target.group, target.version]]
            if target.resource in known and form is not None:
                return await reviews.review(request, target.group, target.resource, form)
        if info is None:
            raise NotFound.unknown_resource()
        if target.subresource in LONG_RUNNING_SUBRESOURCES and target.subresource in info.subresources:
            return await stream(self._context, request, target, info)
        if target.subresource and target.subresource not in info.subresources:
            raise NotFound.unknown_resource()
        handler = handler_of(target, info, verb)
        if handler is None:
            raise errors.method_not_allowed()
        form = negotiate(request.header(b"accept"))
        if form is None:
            raise errors.not_acceptable()
        if verb == "watch":
            return await handler(self._context, request, target, info, form)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await handler(self._context, request, target, info, form)
        except TimeoutError as error:
            raise errors.outcome_unknown("the request took too long") from error
