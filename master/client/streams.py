"""Long streams (watches, logs) and WebSockets (exec), and the watchdog that notices when their server has died.

A stream is silent most of its life, so silence must be told from death. TCP keepalive finds a vanished host, but
the kernel of a stopped process goes on acknowledging: therefore each server with open streams that has been silent
is asked for a sign of life, and when none comes its streams are broken off, so that they are taken up elsewhere.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import aiohttp

from master.api.status import ApiError
from master.client.connections import CONNECT_TIMEOUT_S, Connections, Params
from master.client.errors import describe, outcome_unknown, status_error, unreachable

OPEN_TIMEOUT_S = 10.0
"""From the request to the first bytes of the answer's head."""
PROBE_AFTER_S = 3.0
PROBE_TIMEOUT_S = 3.0
"""Together the bound on how long a dead server keeps a watch: six seconds, less than a node's grace of eight."""
PROBE_PATH = "/livez"
WEBSOCKET_HEARTBEAT_S = 10.0
MAX_CHUNK_BYTES = 1 << 20


class Stream:
    """An open answer below 400, read as it comes. `async for chunk in stream`; broken off: `ServiceUnavailable`."""

    def __init__(self, connections: Connections, index: int, response: aiohttp.ClientResponse) -> None:
        self._connections = connections
        self.index = index
        self.response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self.response.content.iter_any():
                self._connections.heard(self.index)
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self._connections.url(self.index), error) from error

    def break_off(self) -> None:
        self.response.close()


class Streams:
    """All open streams of a process, by server."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._open: set[Stream] = set()
        self._watchdog: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()

    @contextlib.asynccontextmanager
    async def open(
        self, path: str, *, params: Params = (), headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Stream]:
        """A GET whose answer is read as it comes."""
        stream = await self._first_that_answers(path, params, headers)
        self._open.add(stream)
        if self._watchdog is None or self._watchdog.done():
            self._watchdog = asyncio.create_task(self._break_off_dead_ones(), name="stream-watchdog")
        try:
            yield stream
        finally:
            self._open.discard(stream)
            stream.break_off()

    async def _first_that_answers(self, path: str, params: Params, headers: Mapping[str, str] | None) -> Stream:
        failure: ApiError | None = None
        for index in self._connections.candidates():
            try:
                return await self._get(index, path, params, headers)
            except (aiohttp.ClientError, OSError) as error:
                self._connections.failed(index, error)
                failure = unreachable(self._connections.url(index), error)
            except ApiError as error:
                if error.code < 500:
                    raise
                self._connections.failed(index, error)
                failure = error
        assert failure is not None, "there is at least one server"
        raise failure

    async def _get(self, index: int, path: str, params: Params, headers: Mapping[str, str] | None) -> Stream:
        url = self._connections.url(index) + path
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            response = await self._connections.session().get(url, params=params, headers=headers, timeout=timeout)
            if response.status >= 400:
                raise status_error(response.status, await response.read())
        self._connections.worked(index)
        return Stream(self._connections, index, response)

    async def websocket(
        self, path: str, *, params: Params = (), protocols: Sequence[str] = ()
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket; a refusal is raised as the `ApiError` that it carries.

        Behind most stands a command: once a server may have begun it, no other one is asked.
        """
        failure: ApiError | None = None
        for index in self._connections.candidates():
            url = self._connections.url(index) + path
            try:
                return await self._connections.session().ws_connect(
                    url,
                    params=params,
                    protocols=protocols,
                    max_msg_size=MAX_CHUNK_BYTES,
                    heartbeat=WEBSOCKET_HEARTBEAT_S,
                )
            except aiohttp.WSServerHandshakeError as error:
                raise await self._refusal(url, params, error) from error
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                self._connections.failed(index, error)
                failure = unreachable(url, error)
            except (aiohttp.ClientError, OSError) as error:
                self._connections.failed(index, error)
                raise outcome_unknown("GET", path, f"{url}: {describe(error)}") from error
        assert failure is not None, "there is at least one server"
        raise failure

    async def _refusal(self, url: str, params: Params, error: aiohttp.WSServerHandshakeError) -> ApiError:
        """aiohttp does not hand out the body of a refused upgrade; the same GET without upgrade shows the Status."""
        timeout = aiohttp.ClientTimeout(total=CONNECT_TIMEOUT_S)
        async with self._connections.session().get(url, params=params, timeout=timeout) as response:
            content = await response.read()
        return status_error(response.status if response.status >= 400 else error.status, content)

    async def _break_off_dead_ones(self) -> None:
        while self._open:
            await asyncio.sleep(PROBE_AFTER_S / 4)
            servers = {stream.index for stream in self._open}
            silent = [index for index in servers if self._connections.silent_for_s(index) > PROBE_AFTER_S]
            await asyncio.gather(*(self._probe(index) for index in silent))

    async def _probe(self, index: int) -> None:
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        try:
            url = self._connections.url(index) + PROBE_PATH
            async with self._connections.session().get(url, timeout=timeout) as response:
                await response.read()
        except (aiohttp.ClientError, OSError) as error:
            self._connections.failed(index, error)
            for stream in [stream for stream in self._open if stream.index == index]:
                stream.break_off()
        else:
            self._connections.heard(index)
