"""The connection pool over all masters, and what is known of each server's health; shared by all of a process."""

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import aiohttp

from master.client.config import ClientConfig
from master.client.servers import ServerRing

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2.0
IDLE_CONNECTION_S = 4.0
"""Below uvicorn's five seconds, so that a request is never written into a connection the server is closing."""
KEEPALIVE = ((socket.TCP_KEEPIDLE, 3), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3))
TCP_USER_TIMEOUT_MS = 6000
MAX_CONNECTIONS = 200

Params = Mapping[str, str] | Sequence[tuple[str, str]]


class Connections:
    """Servers are named by their index in the configuration."""

    def __init__(self, config: ClientConfig, *, user_agent: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._ring = ServerRing(config.servers)
        self._heard_s = [clock()] * len(self._ring)
        self._config = config
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    def candidates(self) -> list[int]:
        return self._ring.candidates(self.clock())

    def url(self, index: int) -> str:
        return self._ring.urls[index]

    def worked(self, index: int) -> None:
        self._ring.worked(index)
        self.heard(index)

    def heard(self, index: int) -> None:
        self._heard_s[index] = self.clock()

    def silent_for_s(self, index: int) -> float:
        return self.clock() - self._heard_s[index]

    def failed(self, index: int, error: Exception) -> None:
        if not self._ring.is_suspect(index, self.clock()):
            log.warning("server %s: %s: %s", self.url(index), type(error).__name__, error)
        self._ring.failed(index, self.clock())

    def session(self) -> aiohttp.ClientSession:
        # Opened late: the pool belongs to the running loop, and clients are made before one runs.
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self._config.ssl_context() or True,
                limit=MAX_CONNECTIONS,
                keepalive_timeout=IDLE_CONNECTION_S,
                socket_factory=_socket,
            )
            self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": self._user_agent})
            # aiohttp would send a PUT or DELETE again when its answer is lost (its test client has the same switch):
            # the second answer, a conflict or "not found", would hide that the first was carried out.
            self._session._retry_connection = False
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


def _socket(address: AddressInfo) -> socket.socket:
    """A socket that notices a vanished peer in about six seconds, be the connection idle or busy."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
    return sock
