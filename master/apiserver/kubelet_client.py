"""HTTP and WebSocket to kubelets, with this server's client certificate; their failures as Status errors."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import msgspec

from master.api.meta import Status
from master.api.status import ApiError, BadRequest, InternalError, NotFound, TooManyRequests
from master.apiserver import errors
from master.apiserver.config import KubeletClientFiles
from master.apiserver.request import parse_bool

CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 1000
STREAMS_MAX = 1000
RETRY_AFTER_S = 1
GOODBYE_S = 2.0
"""How long a kubelet may take to answer the end of a WebSocket."""
MESSAGE_MAX_BYTES = 16 * 1024 * 1024
ERROR_BODY_MAX_BYTES = 64 * 1024

Query = Sequence[tuple[str, str]]


class Kubelet(NamedTuple):
    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class KubeletClient:
    """One per API server; connections are made on demand."""

    def __init__(self, files: KubeletClientFiles | None) -> None:
        self._files = files
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._streams = 0

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._new_session(CONNECTIONS_MAX)
        return self._session

    def _new_session(self, connections: int) -> aiohttp.ClientSession:
        if self._tls is None:
            if self._files is None:
                raise InternalError.of("this server has no certificate for kubelets")
            self._tls = ssl.create_default_context(cafile=self._files.ca_file)
            self._tls.load_cert_chain(self._files.cert_file, self._files.key_file)
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=connections)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        session._retry_connection = False  # aiohttp would send a GET again, and an exec is a GET: never twice
        return session

    @asynccontextmanager
    async def get(self, kubelet: Kubelet, path: str, query: Query) -> AsyncIterator[aiohttp.ClientResponse]:
        """A streamed GET; the kubelet's refusal is raised as an ApiError."""
        url = f"https://{kubelet.authority}{path}"
        try:
            response = await self._opened().get(url, params=query)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(url, error) from error
        async with response:
            if response.status >= 400:
                body = await response.content.read(ERROR_BODY_MAX_BYTES)
                raise _refusal(response.status, body)
            yield response

    @asynccontextmanager
    async def connect(
        self, kubelet: Kubelet, path: str, query: Query, protocols: Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket on a connection of its own.

        What was sent is still delivered at the end, unless the body raises: then the connection is cut, because a
        kubelet that takes nothing more would not take a goodbye either.
        """
        if self._streams >= STREAMS_MAX:
            raise TooManyRequests.of(f"{STREAMS_MAX} streams to kubelets are open", RETRY_AFTER_S)
        self._streams += 1
        try:
            async with self._new_session(1) as session:
                stream = await self._upgraded(session, f"https://{kubelet.authority}{path}", query, protocols)
                yield stream
                await stream.close()
        finally:
            self._streams -= 1

    async def _upgraded(
        self, session: aiohttp.ClientSession, url: str, query: Query, protocols: Sequence[str]
    ) -> aiohttp.ClientWebSocketResponse:
        try:
            return await session.ws_connect(
                url,
                params=query,
                protocols=protocols,
                max_msg_size=MESSAGE_MAX_BYTES,
                autoping=True,
                timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_S),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise await self._explain(url, query, error) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(url, error) from error

    async def _explain(self, url: str, query: Query, error: aiohttp.WSServerHandshakeError) -> ApiError:
        """A refused handshake has lost its body in the client library: ask again without the upgrade."""
        try:
            async with self._opened().get(url, params=query) as response:
                body = await response.content.read(ERROR_BODY_MAX_BYTES)
        except (aiohttp.ClientError, TimeoutError):
            body = b""
        return _refusal(error.status, body or str(error.message).encode())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _refusal(code: int, body: bytes) -> ApiError:
    try:
        status = msgspec.json.decode(body, type=Status)
        if status.message:
            return ApiError.from_status(status)
    except msgspec.DecodeError:
        pass
    text = body.decode("utf-8", "replace").strip() or f"the kubelet answered with {code}"
    if code == 400:
        return BadRequest(text)
    if code == 404:
        return NotFound(text)
    return errors.make(code, "InternalError" if code >= 500 else "", text)


def _unreachable(url: str, error: Exception) -> ApiError:
    return InternalError.of(f'error dialing backend: "{url}": {error or type(error).__name__}')


def passed_on(query: Mapping[str, list[str]], names: Sequence[str], flags: Sequence[str]) -> list[tuple[str, str]]:
    """The parameters of a request that the kubelet is to see, repeated ones repeated, flags as `true` or `false`."""
    values = [(name, value) for name in names for value in query.get(name, ())]
    return values + [(name, "true" if parse_bool(query[name][0]) else "false") for name in flags if name in query]
