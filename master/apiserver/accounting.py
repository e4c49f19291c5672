"""Around every request: its audit id, the headers of each answer, the metrics; and the last net for errors."""

import logging
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from master.apiserver import errors, metrics
from master.apiserver.refusals import of_error

log = logging.getLogger("apiserver")

AUDIT_ID = b"audit-id"
AUDIT_ID_MAX_BYTES = 64
CACHE_CONTROL = (b"cache-control", b"no-cache, private")
TARGET, VERB = "timonier.target", "timonier.verb"
"""Where the resource path leaves in the scope what a request is about."""


class Accounting:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str], monotonic: Callable[[], float]) -> None:
        self._app = app
        self._new_id = new_id
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sender = _Sender(scope, send, _audit_id(scope) or self._new_id().encode())
        began = self._monotonic()
        try:
            await self._app(scope, receive, sender)
        except Exception as error:
            if sender.started:
                raise  # the server cuts the connection: nothing else tells the client that the answer is not whole
            log.exception("%s %s failed", scope.get("method", "GET"), scope["path"])
            await of_error(errors.internal(f"{type(error).__name__}"))(scope, receive, sender)
        finally:
            record(scope, sender.code, self._monotonic() - began)


class _Sender:
    """Sends, with the common headers, and remembers what was sent."""

    __slots__ = ("_audit_id", "_send", "_websocket", "code", "started")

    def __init__(self, scope: Scope, send: Send, audit_id: bytes) -> None:
        self._websocket = scope["type"] == "websocket"
        self._send = send
        self._audit_id = audit_id
        self.started = False
        self.code = 200

    async def __call__(self, message: Message) -> None:
        kind: str = message["type"]
        if self._websocket and kind.startswith("http."):
            message["type"] = f"websocket.{kind}"  # the answer instead of an upgrade
        if kind.endswith("response.start"):
            self.started, self.code = True, message["status"]
            headers: list[Any] = [(AUDIT_ID, self._audit_id), *message["headers"]]
            if not any(name == CACHE_CONTROL[0] for name, _ in headers):
                headers.append(CACHE_CONTROL)
            message["headers"] = headers
        elif kind == "websocket.accept":
            self.started, self.code = True, 101
        await self._send(message)


def _audit_id(scope: Scope) -> bytes:
    """The client's own, if it gave one."""
    for name, value in scope["headers"]:
        if name == AUDIT_ID:
            return bytes(value[:AUDIT_ID_MAX_BYTES])
    return b""


def record(scope: Scope, code: int, elapsed_s: float) -> None:
    target = scope.get(TARGET)
    verb: str = scope.get(VERB) or scope.get("method", "GET").lower()
    if target is None or target.info is None:
        labels = (verb.upper(), "", "", "", "", "")
    else:
        within = "resource" if target.name else "namespace" if target.namespace else "cluster"
        labels = (verb.upper(), target.group, target.version, target.resource, target.subresource, within)
    metrics.requests_total.labels(*labels, str(code)).inc()
    if verb != "watch":
        metrics.request_seconds.labels(*labels).observe(elapsed_s)
