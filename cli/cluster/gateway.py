"""The one address that kubectl uses: a TCP forwarder to any master whose API server accepts connections.

TLS passes through untouched, so the gateway holds no key and sees no request. Like the load balancer that one
puts before an HA control plane; every component of the cluster itself knows all masters and does not need it.
"""

import argparse
import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Sequence

log = logging.getLogger("gateway")

CONNECT_TIMEOUT_S = 1.0
CHUNK_BYTES = 256 << 10
MAX_CONNECTIONS = 4096
PROBE_PERIOD_S = 0.5
PROBE_TIMEOUT_S = 0.5  # two misses in a row, so that one lost packet cuts nobody off

Address = tuple[str, int]


def order_of_attempts(backends: Sequence[Address], suspects: set[Address], turn: int) -> list[Address]:
    """Healthy backends first, turned so that connections spread; suspects stay as the last resort."""
    turned = [backends[(turn + i) % len(backends)] for i in range(len(backends))]
    return sorted(turned, key=lambda backend: backend in suspects)


class Gateway:
    """Accepts connections and copies bytes both ways; a probe marks backends that do not answer."""

    def __init__(self, backends: Sequence[Address]) -> None:
        self._backends = list(backends)
        self._suspects: set[Address] = set()
        self._turn = itertools.count()
        self._open: dict[asyncio.Task[None], Address] = {}

    async def serve(self, listen: Address) -> None:
        server = await asyncio.start_server(self._accept, *listen, backlog=512)
        probe = asyncio.create_task(self._probe())
        try:
            async with server:
                await server.serve_forever()
        finally:
            probe.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        try:
            for backend in order_of_attempts(self._backends, self._suspects, next(self._turn)):
                try:
                    upstream = await asyncio.wait_for(asyncio.open_connection(*backend), CONNECT_TIMEOUT_S)
                except (OSError, TimeoutError):
                    self._suspects.add(backend)
                    continue
                self._open[task] = backend
                await _splice((reader, writer), upstream)
                return
        except asyncio.CancelledError:
            return
        finally:
            self._open.pop(task, None)
            writer.close()

    async def _probe(self) -> None:
        """Connects to every backend in turn; connections through one that went away are cut, not left to hang."""
        while True:
            answered = await asyncio.gather(*(_answers(backend) for backend in self._backends))
            for backend, alive in zip(self._backends, answered, strict=True):
                if alive:
                    self._suspects.discard(backend)
                elif backend in self._suspects:
                    for task in [task for task, used in self._open.items() if used == backend]:
                        task.cancel()
                else:
                    self._suspects.add(backend)
            await asyncio.sleep(PROBE_PERIOD_S)


async def _answers(backend: Address) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*backend), PROBE_TIMEOUT_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _splice(client: _Stream, upstream: _Stream) -> None:
    """Copies both ways until both sides are done."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(client[0], upstream[1]))
            group.create_task(_copy(upstream[0], client[1]))
    except* (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        upstream[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()  # TLS closes whole connections, but other users may half-close


def _address(text: str) -> Address:
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def _main(listen: Address, backends: Sequence[Address]) -> None:
    serving = asyncio.create_task(Gateway(backends).serve(listen))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=_address, required=True)
    parser.add_argument("--backend", type=_address, action="append", required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_main(options.listen, options.backend))


if __name__ == "__main__":
    main()
