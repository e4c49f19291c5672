"""The loads: HTTP against a real server, ConfigMaps against a client that answers as told."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chaos_lab import LabFabric

from chaos.checkers.acknowledged import check_acknowledged
from chaos.history import History
from chaos.netns import in_netns
from chaos.traffic.configmaps import ConfigMapWriter
from chaos.traffic.http import HttpLoad, http_get, plain_socket
from master.api.core.configmap import ConfigMap
from master.api.status import ApiError, NotFound, OutcomeUnknown, ServiceUnavailable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def with_server(serve: Serve, body: Callable[[int], Awaitable[None]]) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        await body(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def answering(text: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        writer.close()

    return serve


async def load_until(history: History, port: int, count: int, **options: Any) -> None:
    task = asyncio.create_task(HttpLoad(history, "127.0.0.1", port, rate_per_s=200, **options).run())
    async with asyncio.timeout(10):
        while sum(o.return_s is not None for o in history) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_answers_are_recorded_with_their_bodies() -> None:
    async def body(port: int) -> None:
        history = History(time.monotonic)
        await load_until(history, port, 20)
        assert all(o.outcome == "ok" for o in history)
        assert next(iter(history)).value == "pod-1"

    asyncio.run(with_server(answering(b"HTTP/1.1 200 OK\r\n\r\npod-1\n"), body))


def test_errors_silence_and_refusal_are_failures_with_a_reason() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def expect(serve: Serve, reason: str) -> None:
        async def body(port: int) -> None:
            history = History(time.monotonic)
            await load_until(history, port, 3, timeout_s=0.1)
            assert reason in next(iter(history)).detail

        await with_server(serve, body)

    async def scenario() -> None:
        await expect(answering(b"HTTP/1.1 503 No\r\n\r\n"), "status 503")
        await expect(answering(b"what?"), "no HTTP answer")
        await expect(silence, "no answer within")
        history = History(time.monotonic)
        await load_until(history, 1, 3)
        assert "Refused" in next(iter(history)).detail

    asyncio.run(scenario())


def test_requests_can_come_from_inside_a_namespace(fabric: LabFabric) -> None:
    async def scenario() -> None:
        host = fabric.host("n1")
        path = Path("/run/netns") / host.netns

        def listen() -> socket.socket:
            return socket.create_server((host.address, 8080))

        server = await asyncio.start_server(answering(b"HTTP/1.0 200 OK\r\n\r\nhere"), sock=in_netns(path, listen))
        other = Path("/run/netns") / fabric.host("n2").netns
        assert await http_get(lambda: in_netns(other, plain_socket), (host.address, 8080)) == (200, "here")
        server.close()

    asyncio.run(scenario())


class ScriptedClient:
    """A RestClient's two calls; raises what the script says, applies the rest."""

    def __init__(self, script: list[ApiError | None]) -> None:
        self.script, self.state = script, dict[str, str]()

    async def patch(self, kind: Any, name: str, namespace: str, patch: dict[str, Any]) -> None:
        if name not in self.state:
            raise NotFound("no such thing")
        self._apply(name, patch["data"]["value"])

    async def create(self, obj: ConfigMap) -> None:
        self._apply(obj.metadata.name, obj.data["value"])

    def _apply(self, name: str, value: str) -> None:
        error = self.script.pop(0) if self.script else None
        if error is None or isinstance(error, OutcomeUnknown):
            self.state[name] = value
        if error:
            raise error


def test_writers_record_what_they_were_told() -> None:
    async def scenario() -> None:
        errors = [None, None, OutcomeUnknown("?"), ServiceUnavailable("no"), ApiError("broken"), NotFound("gone"), None]
        client, history = ScriptedClient(errors), History(time.monotonic)
        writer = ConfigMapWriter(client, history, name="w", namespace="default", keys=2)  # type: ignore[arg-type]
        for number in range(6):
            await writer.write(f"w-{number % 2}", f"v{number}")
        outcomes = [o.outcome for o in history]
        assert outcomes == ["ok", "ok", "unknown", "failed", "unknown", "ok"]
        assert check_acknowledged(history, client.state) == []
        assert check_acknowledged(history, {})

    asyncio.run(scenario())
