"""The gateway reaches a live master whichever others are dead, and passes bytes through untouched."""

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from cli.cluster.gateway import Address, Gateway, order_of_attempts

backends = st.lists(st.tuples(st.just("127.0.0.1"), st.integers(1, 65535)), min_size=1, max_size=5, unique=True)


@given(backends, st.data(), st.integers(0, 1000))
def test_every_backend_is_tried_and_healthy_ones_first(found: list[Address], data: st.DataObject, turn: int) -> None:
    suspects = set(data.draw(st.lists(st.sampled_from(found))))
    order = order_of_attempts(found, suspects, turn)
    assert sorted(order) == sorted(found)
    flags = [backend in suspects for backend in order]
    assert flags == sorted(flags)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_dead_backend_does_not_stop_a_connection() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    async def scenario() -> list[bytes]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        live = ("127.0.0.1", server.sockets[0].getsockname()[1])
        dead = ("127.0.0.1", free_port())
        port = free_port()
        gateway = asyncio.create_task(Gateway([dead, live, dead]).serve(("127.0.0.1", port)))
        answers = []
        for attempt in range(6):
            reader, writer = await _connect(port)
            writer.write(b"hello %d" % attempt)
            answers.append(await asyncio.wait_for(reader.read(100), 10))
            writer.close()
        gateway.cancel()
        server.close()
        return answers

    assert asyncio.run(scenario()) == [b"hello %d" % attempt for attempt in range(6)]


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(500):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    raise AssertionError("the gateway does not listen")
