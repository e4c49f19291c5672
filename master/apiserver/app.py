"""The ASGI application: authenticate, authorise, limit, route, answer.

Errors rise from anywhere below as `ApiError` and become an answer here, once.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from master.api.status import ApiError, NotFound
from master.apiserver import authz, discovery, errors, health, metrics, openapi, responses
from master.apiserver.context import Context
from master.apiserver.handlers import reviews
from master.apiserver.limits import REQUEST_TIMEOUT_S, InFlight
from master.apiserver.negotiation import negotiate
from master.apiserver.request import (
    Message,
    Receive,
    Request,
    Scope,
    Send,
    Target,
    parse_request,
    parse_target,
    raw_segments,
)
from master.apiserver.responses import Response
from master.apiserver.routes import LONG_RUNNING_SUBRESOURCES, handler_of, verb_of
from master.apiserver.streams.route import stream
from master.apiserver.version import version

log = logging.getLogger("apiserver")

WRITE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class App:
    def __init__(self, context: Context, monotonic: Callable[[], float]) -> None:
        self._context = context
        self._monotonic = monotonic
        self._inflight = InFlight()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        request = parse_request(scope, receive, send)
        request.audit_id = request.header(b"audit-id")[:64] or self._context.env.uuid()
        exchange = Exchange(self._context, self._inflight, request)
        began = self._monotonic()
        await exchange.run()
        exchange.record(self._monotonic() - began)


class Exchange:
    """One request and its answer."""

    def __init__(self, context: Context, inflight: InFlight, request: Request) -> None:
        self._context = context
        self._inflight = inflight
        self._request = request
        self._target: Target | None = None
        self._verb = request.method.lower()
        self._code = 200
        self._started = False
        self._send = request.send
        request.send = self._note_and_send

    async def _note_and_send(self, message: Message) -> None:
        if self._request.scope["type"] == "websocket" and message["type"].startswith("http."):
            message["type"] = f"websocket.{message['type']}"  # the answer instead of an upgrade
        if message["type"].endswith(("response.start", "websocket.accept")):
            self._started = True
            self._code = message.get("status", 101)
        await self._send(message)

    async def run(self) -> None:
        try:
            response = await self._respond()
        except ApiError as error:
            response = responses.of_error(error)
        except Exception as error:
            log.exception("%s %s failed", self._request.method, self._request.path)
            response = responses.of_error(errors.internal(f"{type(error).__name__}"))
        if response is not None and not self._started:
            await responses.send_response(self._request, response)
        elif response is not None and response.status >= 400:
            raise ConnectionAbortedError("the answer broke off after it had begun")

    async def _respond(self) -> Response | None:
        request = self._request
        if b"authorization" in request.headers:
            raise errors.unauthorized()  # tokens are not known yet, and a bad token is never anonymous
        segments = raw_segments(request.scope)
        target = self._target = parse_target(segments)
        if target is None:
            return await self._path(segments)
        verb = self._verb = verb_of(request, target)
        if not authz.may_use_resource(request.user, verb, target.resource):
            raise errors.forbidden_resource(
                request.user, verb, target.group, target.resource, target.subresource, target.namespace, target.name
            )
        if not self._context.feed.loaded.is_set():
            raise errors.unavailable("the watch caches are not filled yet")
        with self._place(target, verb):
            return await self._resource(target, verb)

    def _place(self, target: Target, verb: str) -> AbstractContextManager[None]:
        if verb == "watch" or target.subresource in LONG_RUNNING_SUBRESOURCES:
            return self._inflight.place("stream")
        return self._inflight.place("mutating" if self._request.method in WRITE_METHODS else "readOnly")

    async def _resource(self, target: Target, verb: str) -> Response | None:
        request, info = self._request, target.info
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

    async def _path(self, segments: list[str]) -> Response:
        request = self._request
        if not authz.may_use_path(request.user, self._verb, "/" + "/".join(segments)):
            raise errors.forbidden_path(request.user, self._verb, request.path)
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        found = await self._document(segments)
        return found if found is not None else responses.text("404 page not found\n", 404)

    async def _document(self, segments: list[str]) -> Response | None:
        request, context = self._request, self._context
        match segments:
            case [("livez" | "readyz" | "healthz"), *_] if len(segments) <= 2:
                return await health.health(context, request, segments)
            case ["version"]:
                return version()
            case ["metrics"]:
                return metrics.exposition(context.feed.revision)
            case ["openapi", "v2"]:
                return openapi.v2(request)
            case ["openapi", "v3", *_]:
                return openapi.v3(request, segments)
            case ["api"] | ["apis"]:
                address = f"{context.config.public_address}:{context.config.port}"
                return discovery.root(request, core=segments == ["api"], server_address=address)
            case ["api" | "apis", *_]:
                return discovery.document(segments)
        return None

    def record(self, elapsed_s: float) -> None:
        target = self._target
        if target is None or target.info is None:
            labels = (self._verb.upper(), "", "", "", "", "")
        else:
            scope = "resource" if target.name else "namespace" if target.namespace else "cluster"
            labels = (self._verb.upper(), target.group, target.version, target.resource, target.subresource, scope)
        metrics.requests_total.labels(*labels, str(self._code)).inc()
        if self._verb != "watch":
            metrics.request_seconds.labels(*labels).observe(elapsed_s)
