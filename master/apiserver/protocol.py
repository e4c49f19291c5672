"""uvicorn's protocols with what a Kubernetes API server needs on a connection.

The verified client certificate's user goes into the scope (`state["user"]`) of every request, WebSockets included.
A request for `Upgrade: SPDY/3.1` finds a `Tunnel` in its scope; it may accept it and keep the connection, or answer as
any other request. A WebSocket finds an event there (`state["gone"]`): its client has vanished, whatever of what it said
is still unread.
"""

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from master.apiserver.authn import ANONYMOUS, User, user_of_certificate
from master.apiserver.tunnel import Tunnel

log = logging.getLogger("apiserver.protocol")

HEADERS_MAX_BYTES = 64 * 1024
"""All headers of a request (Go's server allows 1 MiB; no client of ours sends more than a few KiB)."""
SPDY = b"spdy/3.1"


class ApiProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user: User = ANONYMOUS
        self._header_bytes = 0
        self._tunnel: Tunnel | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.user = user_of_certificate(transport.get_extra_info("peercert"))
        self.app_state = {**self.app_state, "user": self.user}

    def connection_lost(self, exc: Exception | None) -> None:
        if self._tunnel is not None:
            self._tunnel.feed_end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.feed(data)
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            elif self._tunnel is not None:
                self._tunnel.feed(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            log.info("refused a request that is no HTTP: %s", error)
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._bound(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bound(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._get_upgrade() == SPDY:
            self._tunnel = Tunnel(self.transport, self.flow, self._leave_http)
            self.scope["tunnel"] = self._tunnel  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def _leave_http(self) -> None:
        """The application has the connection now: uvicorn's cycle counts as answered."""
        self.cycle.response_started = self.cycle.response_complete = True
        self.cycle.message_event.set()

    def _bound(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADERS_MAX_BYTES:
            raise ValueError("request headers are too large")


class ApiWebSocket(WSProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gone = asyncio.Event()
        self.app_state = {**self.app_state, "gone": self._gone}

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        super().connection_lost(exc)
