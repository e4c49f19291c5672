"""An API server on loopback over TLS, in a thread, on a store in memory; and kubectl and plain HTTP against it."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from apiserver_certificates import TestAuthority
from apiserver_memory_store import MemoryStore

from master.apiserver.config import KubeletClientFiles, ServerConfig, TLSFiles
from master.apiserver.server import ApiServer

DEADLINE_S = 20.0
ADMIN = "kubernetes-admin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition; its value."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        threading.Event().wait(0.02)
    raise AssertionError(f"{what} did not come about within {deadline_s} s")


class Answer(NamedTuple):
    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """HTTP with one user's certificate."""

    def __init__(self, port: int, authority: TestAuthority, identity: tuple[str, str] | None) -> None:
        self.port = port
        self.tls = ssl.create_default_context(cafile=authority.ca_file)
        self.tls.check_hostname = False
        if identity is not None:
            self.tls.load_cert_chain(*identity)

    def connect(self, timeout_s: float = DEADLINE_S) -> HTTPSConnection:
        return HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=timeout_s)

    def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        connection = self.connect()
        data = body if isinstance(body, bytes | str) or body is None else json.dumps(body)
        try:
            connection.request(method, path, body=data, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, accept: str = "") -> Answer:
        return self.call("GET", path, headers={"Accept": accept} if accept else {})

    def post(self, path: str, body: Any) -> Answer:
        return self.call("POST", path, body, headers={"Content-Type": "application/json"})

    def put(self, path: str, body: Any) -> Answer:
        return self.call("PUT", path, body, headers={"Content-Type": "application/json"})

    def patch(self, path: str, body: Any, kind: str = "merge-patch+json") -> Answer:
        return self.call("PATCH", path, body, headers={"Content-Type": f"application/{kind}"})

    def delete(self, path: str, body: Any = None) -> Answer:
        return self.call("DELETE", path, body, headers={"Content-Type": "application/json"} if body else {})


class Kubectl:
    """The real kubectl with a kubeconfig of its own."""

    def __init__(self, folder: Path, port: int, authority: TestAuthority, identity: tuple[str, str]) -> None:
        self._folder = folder
        self._kubeconfig = folder / "kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": authority.ca_file}
        user = {"client-certificate": identity[0], "client-key": identity[1]}
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        self._kubeconfig.write_text(json.dumps(tree))

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self._kubeconfig), "HOME": str(self._folder)}

    def run(self, *arguments: str, stdin: str = "", timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def ok(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout


def config_for(
    authority: TestAuthority, port: int, sockets: list[str], public: str = "192.0.2.21", **more: Any
) -> ServerConfig:
    certificate, key = authority.issue("apiserver", server=True)
    kubelet_certificate, kubelet_key = authority.issue("kubelet-client", ("system:masters",))
    return ServerConfig(
        name="master-1",
        bind_address="127.0.0.1",
        advertise_address=public,
        port=port,
        service_cidr="10.0.0.0/16",
        cluster_dns_ip="10.0.0.10",
        tls=TLSFiles(cert_file=certificate, key_file=key),
        client_ca_file=authority.ca_file,
        store_sockets=sockets,
        kubelet_client=KubeletClientFiles(
            cert_file=kubelet_certificate, key_file=kubelet_key, ca_file=authority.ca_file
        ),
        **more,
    )


class ServerThread:
    """`ApiServer` on a loop of its own in a thread."""

    def __init__(self, config: ServerConfig, store: MemoryStore) -> None:
        self.store = store
        self.config = config
        self.server: ApiServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def body() -> None:
            self._loop = asyncio.get_running_loop()
            self.server = ApiServer(self.config, self.store)
            await self.server.serve()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(body())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._loop is not None and self.server is not None:
            self._loop.call_soon_threadsafe(self.server.stop)
        self._thread.join(timeout=DEADLINE_S)
        assert not self._thread.is_alive(), "the server did not stop"
