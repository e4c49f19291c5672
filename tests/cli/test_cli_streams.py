"""exec and logs over real connections: a small server plays the API server's streaming side."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

PODS = {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced", "singularResource": "pod"}
VERSION = {"version": "v1", "resources": [{**PODS, "shortNames": ["po"]}]}
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"containers": [{"name": "c"}, {"name": "d"}]},
}
BASE = "/api/v1/namespaces/default/pods/p"


class StreamServer:
    """`exec cat` echoes its input, `exec false` ends with 3; logs answer with their parameters."""

    def __init__(self) -> None:
        self.port = 0
        self.sizes: list[object] = []
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "StreamServer":
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._start())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        answers = {"/api": {"items": [{"metadata": {"name": ""}, "versions": [VERSION]}]}, "/apis": {}, BASE: POD}
        for path, tree in answers.items():
            app.router.add_get(path, always(tree))
        app.router.add_get(f"{BASE}/log", self._log)
        app.router.add_get(f"{BASE}/exec", self._exec)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _log(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(f"{request.query['container']} {request.query.get('tailLines', 'all')}\n".encode())
        await response.write("zweite Zeile äö\nlast".encode())
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        if request.query["command"] == "forbidden":
            body = {"kind": "Status", "reason": "Forbidden", "message": "not for you", "code": 403}
            return web.json_response(body, status=403)
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        await socket.send_bytes(b"\x01")
        if request.query["command"] == "cat":
            await self._echo(socket)
            await socket.send_str('{"text":"is ignored"}')
            await socket.send_bytes(b"\x03" + json.dumps({"status": "Success"}).encode())
        else:
            await socket.send_bytes(b"\x02oops\n")
            details = {"causes": [{"reason": "ExitCode", "message": "3"}]}
            failed = {
                "status": "Failure",
                "message": "command terminated with non-zero exit code: 3",
                "details": details,
            }
            await socket.send_bytes(b"\x03" + json.dumps(failed).encode())
        await socket.close()
        return socket

    async def _echo(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is not WSMsgType.BINARY or message.data == b"\xff\x00":
                return
            if message.data[0] == 0:
                await socket.send_bytes(b"\x01" + message.data[1:])


def always(tree: object) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(tree)

    return answer


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with StreamServer() as server:
        path = tmp_path_factory.mktemp("streams") / "kubeconfig"
        cluster = {"server": f"http://127.0.0.1:{server.port}"}
        tree = {
            "current-context": "t",
            "contexts": [{"name": "t", "context": {"cluster": "t"}}],
            "clusters": [{"name": "t", "cluster": cluster}],
        }
        path.write_text(json.dumps(tree))
        yield {**os.environ, "KUBECONFIG": str(path), "HOME": str(path.parent)}


def timonier(environment: dict[str, str], *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from cli.app import main; main()", *words]
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, timeout=30)


def test_exec_passes_input_on_to_its_end_and_output_back_byte_by_byte(environment: dict[str, str]) -> None:
    data = bytes(range(256)) * 1000
    done = timonier(environment, "exec", "-i", "p", "--", "cat", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data


def test_exec_reads_a_file_as_input(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"from a file")
    command = [sys.executable, "-c", "from cli.app import main; main()", "exec", "-i", "pod/p", "--", "cat"]
    with file.open("rb") as stdin:
        done = subprocess.run(command, env=environment, stdin=stdin, capture_output=True, timeout=30)
    assert done.stdout == b"from a file"


def test_exec_ends_with_the_commands_exit_code(environment: dict[str, str]) -> None:
    done = timonier(environment, "exec", "p", "-c", "d", "--", "false", "-x")
    assert done.returncode == 3
    assert done.stderr == b"oops\ncommand terminated with non-zero exit code: 3\n"


def test_a_refused_exec_says_why(environment: dict[str, str]) -> None:
    done = timonier(environment, "exec", "p", "--", "forbidden")
    assert done.returncode == 1
    assert done.stderr.decode() == "Error from server (Forbidden): not for you\n"


def test_a_server_that_is_not_there_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    tree = json.loads(Path(environment["KUBECONFIG"]).read_text())
    tree["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(tree))
    done = timonier(environment, "get", "pods", "--kubeconfig", str(tmp_path / "config"))
    assert done.returncode == 1
    assert done.stderr.decode().startswith("Unable to connect to the server: http://127.0.0.1:1: ")


def test_logs_choose_a_container_and_pass_bytes_through(environment: dict[str, str]) -> None:
    assert timonier(environment, "logs", "p").stdout.decode() == "c all\nzweite Zeile äö\nlast"
    assert timonier(environment, "logs", "p", "-c", "d", "--tail", "5").stdout.startswith(b"d 5\n")
    prefixed = timonier(environment, "logs", "p", "--all-containers", "--prefix").stdout.decode().splitlines()
    assert prefixed[0] == "[pod/p/c] c all"
    assert prefixed[2:4] == ["[pod/p/c] last", "[pod/p/d] d all"]
    assert b"not valid for pod p" in timonier(environment, "logs", "p", "-c", "x").stderr
