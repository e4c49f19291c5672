"""One request, one answer, whichever master gives it.

What may be tried again elsewhere: everything that certainly did not happen (no connection, or an answer 503 or 429
with Retry-After), and every read. A write whose answer got lost may have happened: that is `OutcomeUnknown`, and
only the caller knows whether doing it twice is harmless.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
import msgspec

from master.api.status import ApiError
from master.client.backoff import Backoff
from master.client.connections import CONNECT_TIMEOUT_S, Connections, Params
from master.client.errors import describe, outcome_unknown, status_error, status_in, unreachable

REQUEST_TIMEOUT_S = 10.0
RETRY_BUDGET_S = 5.0
"""No new round of attempts is begun later than this; longer than the election of a new store leader (2 s)."""
ROUND_PAUSE_FIRST_S = 0.05
ROUND_PAUSE_MAX_S = 0.5

READS = frozenset({"GET", "HEAD"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, to whichever server."""

    method: str
    path: str
    params: Params = ()
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    timeout_s: float = REQUEST_TIMEOUT_S


class Answer(msgspec.Struct, frozen=True):
    """A complete answer below 400."""

    code: int
    body: bytes
    headers: Mapping[str, str]


class Transport:
    """Tries the servers in rounds until one answers or the budget is spent."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def send(self, request: Request) -> Answer:
        """The first answer below 400 of any server; raises the `ApiError` of an answer that is none."""
        clock = self._connections.clock
        deadline_s = clock() + RETRY_BUDGET_S
        pauses = Backoff(ROUND_PAUSE_FIRST_S, ROUND_PAUSE_MAX_S)
        while True:
            failure: ApiError | None = None
            for index in self._connections.candidates():
                try:
                    return await self._attempt(index, request)
                except _TryElsewhere as again:
                    failure = again.failure
            assert failure is not None, "there is at least one server"
            pause_s = max(pauses.next_s(), float(failure.retry_after_s))
            if clock() + pause_s > deadline_s:
                raise failure
            await asyncio.sleep(pause_s)

    async def _attempt(self, index: int, request: Request) -> Answer:
        url = self._connections.url(index)
        # One turn of the loop lets a connection that its server has closed leave the pool; a write into it would be
        # of unknown outcome for no good reason.
        await asyncio.sleep(0)
        timeout = aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, request.timeout_s))
        try:
            async with self._connections.session().request(
                request.method,
                url + request.path,
                params=request.params,
                data=request.body,
                headers=request.headers,
                timeout=timeout,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._connections.failed(index, error)
            raise _TryElsewhere(unreachable(url, error)) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            self._connections.failed(index, error)
            if request.method in READS:
                raise _TryElsewhere(unreachable(url, error)) from error
            raise outcome_unknown(request.method, request.path, f"{url}: {describe(error)}") from error
        return self._judge(index, request, response, content)

    def _judge(self, index: int, request: Request, response: aiohttp.ClientResponse, content: bytes) -> Answer:
        if response.status < 400:
            self._connections.worked(index)
            return Answer(response.status, content, response.headers)
        error = status_error(response.status, content)
        if response.status == 503:
            self._connections.failed(index, error)
            raise _TryElsewhere(error)
        if response.status == 429 and "Retry-After" in response.headers:
            raise _TryElsewhere(error)
        if response.status >= 500 and request.method in READS:
            raise _TryElsewhere(error)
        # 504: the server lost sight of the write while the store decided. Without a Status: it was broken off midway.
        if response.status == 504 or (response.status >= 500 and status_in(content) is None):
            raise outcome_unknown(request.method, request.path, error.message) from error
        self._connections.worked(index)
        raise error


class _TryElsewhere(Exception):
    """This attempt certainly changed nothing: another server may be asked."""

    def __init__(self, failure: ApiError) -> None:
        super().__init__(str(failure))
        self.failure = failure
