"""Continuous HTTP load: a steady rate of GETs, each on a connection of its own, as many new clients would be.

The rate does not slow down when answers do (an open loop), up to a bound of requests in flight; what does not fit is
counted as failed, because a client would have waited.
"""

import asyncio
import socket
from collections.abc import Callable

from chaos.history import History, Operation

REQUEST = "request"
IN_FLIGHT_MAX = 256
TIMEOUT_S = 2.0
ANSWER_BYTES = 4096
SocketFactory = Callable[[], socket.socket]


def plain_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


class HttpLoad:
    """`run` until cancelled; the history then holds every request. One loop, one task a request."""

    def __init__(
        self,
        history: History,
        address: str,
        port: int,
        *,
        rate_per_s: float = 50.0,
        timeout_s: float = TIMEOUT_S,
        make_socket: SocketFactory = plain_socket,
    ) -> None:
        self._history, self._target = history, (address, port)
        self._rate_per_s, self._timeout_s, self._make_socket = rate_per_s, timeout_s, make_socket
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """For ever. Requests in flight at cancellation are given up without a trace of failure."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        try:
            while True:
                self._launch()
                due_s += 1 / self._rate_per_s
                await asyncio.sleep(max(0.0, due_s - loop.time()))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _launch(self) -> None:
        operation = self._history.call(REQUEST)
        if len(self._tasks) >= IN_FLIGHT_MAX:
            self._history.failed(operation, f"{IN_FLIGHT_MAX} requests are in flight already")
            return
        task = asyncio.get_running_loop().create_task(self._request(operation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _request(self, operation: Operation) -> None:
        try:
            status, body = await asyncio.wait_for(http_get(self._make_socket, self._target), self._timeout_s)
        except TimeoutError:
            self._history.failed(operation, f"no answer within {self._timeout_s:g} s")
        except (OSError, ValueError) as error:
            self._history.failed(operation, f"{type(error).__name__}: {error}")
        except asyncio.CancelledError:
            self._history.ok(operation, "")  # the load ended: this request proves nothing either way
            raise
        else:
            if status == 200:
                self._history.ok(operation, body)
            else:
                self._history.failed(operation, f"status {status}")


async def http_get(make_socket: SocketFactory, target: tuple[str, int], path: str = "/") -> tuple[int, str]:
    """Status and the beginning of the body; raises OSError or ValueError (an answer that is no HTTP)."""
    loop = asyncio.get_running_loop()
    with make_socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, target)
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nHost: {target[0]}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) < ANSWER_BYTES and (part := await loop.sock_recv(sock, ANSWER_BYTES)):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError("the connection closed without an HTTP answer" if not answer else "no HTTP answer")
    return int(words[1]), body.decode(errors="replace").strip()
