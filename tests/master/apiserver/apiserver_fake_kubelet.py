"""A kubelet for tests: logs, and an exec that echoes its input, over TLS with client certificates demanded."""

import asyncio
import json
import ssl
import threading
from typing import Any

from aiohttp import WSMsgType, web
from apiserver_certificates import TestAuthority
from apiserver_harness import free_port, until

PING_S = 0.05
SUCCESS = {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> dict[str, Any]:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    message = f"command terminated with non-zero exit code: exit status {code}"
    tree = {"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode"}
    return {**tree, "details": {"causes": causes}}


class FakeKubelet:
    """`cat` echoes stdin until it is closed; `exit N` ends with N; `resize` says what size it was given; `sleep` takes
    no input and lasts until its client has gone (`abandoned`)."""

    def __init__(self, authority: TestAuthority) -> None:
        self.port = free_port()
        self.queries: list[dict[str, list[str]]] = []
        self.abandoned = threading.Event()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*authority.issue("kubelet", server=True))
        self._tls.load_verify_locations(authority.ca_file)
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        until(self._ready.is_set, "the fake kubelet")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        app = web.Application()
        app.router.add_get("/containerLogs/{ns}/{pod}/{container}", self._logs)
        app.router.add_get("/exec/{ns}/{pod}/{container}", self._exec)
        app.router.add_get("/attach/{ns}/{pod}/{container}", self._exec)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._tls).start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _note(self, request: web.Request) -> dict[str, list[str]]:
        query = {key: request.query.getall(key) for key in request.query}
        self.queries.append(query)
        return query

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        query = self._note(request)
        if "previous" in query:
            text = 'previous terminated container "c" in pod "p" not found'
            return web.Response(status=400, text=text)
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(3):
            await response.write(f"line {number}\n".encode())
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        query = self._note(request)
        command = query.get("command", ["cat"])
        if command == ["missing"]:
            return web.Response(status=400, text="container not running")
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
        await socket.prepare(request)
        await socket.send_bytes(b"\x01")
        status = SUCCESS
        if command[0] == "exit":
            await socket.send_bytes(b"\x02leaving")
            status = exit_status(int(command[1]))
        elif command == ["sleep"]:
            await self._sleep(socket)
        elif "stdin" in query:
            await self._echo(socket)
        else:
            await socket.send_bytes(b"\x01" + " ".join(command).encode())
        await socket.send_bytes(b"\x03" + json.dumps(status).encode())
        await socket.close()
        return socket

    async def _sleep(self, socket: web.WebSocketResponse) -> None:
        """As the real kubelet, it learns by pings that nobody is there any more."""
        self.abandoned.clear()
        try:
            while True:
                await socket.ping()
                await asyncio.sleep(PING_S)
        except ConnectionError:
            self.abandoned.set()

    async def _echo(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is not WSMsgType.BINARY or message.data == b"\xff\x00":
                return
            if message.data[:1] == b"\x00":
                await socket.send_bytes(b"\x01" + message.data[1:])
            elif message.data[:1] == b"\x04":
                await socket.send_bytes(b"\x01size " + message.data[1:])
