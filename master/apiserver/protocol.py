"""uvicorn's HTTP protocol with what a Kubernetes API server needs on a connection.

The verified client certificate's user goes into the scope (`state["user"]`) of every request, WebSockets included.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from master.apiserver.authn import ANONYMOUS, User, user_of_certificate

HEADERS_MAX_BYTES = 64 * 1024
"""All headers of a request (Go's server allows 1 MiB; no client of ours sends more than a few KiB)."""


class ApiProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user: User = ANONYMOUS
        self._header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.user = user_of_certificate(transport.get_extra_info("peercert"))
        self.app_state = {**self.app_state, "user": self.user}

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._bound(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bound(len(name) + len(value))
        super().on_header(name, value)

    def _bound(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADERS_MAX_BYTES:
            raise ValueError("request headers are too large")
