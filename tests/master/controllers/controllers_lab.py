"""A control plane of real processes on loopback: one store member, one API server, one controller manager."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from cli.cluster.pki import CertificateAuthority
from master.api.core.namespace import Namespace
from master.api.meta import ObjectMeta
from master.api.status import ApiError, NotFound
from master.client.config import ClientConfig
from master.client.rest import RestClient

DEADLINE_S = 20.0
POLL_S = 0.03
STOP_S = 8.0
NODE_GRACE_S = 2.0

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], Awaitable[T]], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The first true value of the condition; what the API does not have (yet) counts as false."""
    end_s = time.monotonic() + deadline_s
    value: T | None = None
    while time.monotonic() < end_s:
        with suppress(NotFound):
            value = await condition()
            if value:
                return value
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"{what}: not within {deadline_s} s, last seen: {value!r}")


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)


class ControlPlane:
    """Started once for all tests; each test has a namespace of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        authority = CertificateAuthority(self.root, "ca")
        authority.ensure("controllers-test-ca")
        authority.issue(self.root / "api", common_name="apiserver", addresses=["127.0.0.1"], usage="server")
        admin = ["system:masters"]
        authority.issue(self.root / "admin", common_name="kubernetes-admin", organizations=admin, usage="client")
        authority.issue(self.root / "controllers", common_name="system:kube-controller-manager", usage="client")
        self._run("raftstore", self._store_config())
        self._run("master.apiserver", self._api_config())
        self._wait_ready()
        self._run("master.controllers", self.controllers_config("master-1"))

    def _store_config(self) -> dict[str, Any]:
        return {
            "name": "master-1",
            "data_dir": str(self.root / "store"),
            "peers": {"master-1": f"127.0.0.1:{free_port()}"},
            "client_socket": str(self.root / "store.sock"),
            "profile_timeouts": {"election_ms": [150, 300], "heartbeat_ms": 30},
        }

    def _api_config(self) -> dict[str, Any]:
        return {
            "name": "master-1",
            "bind_address": "127.0.0.1",
            "port": self.port,
            "advertise_address": "192.0.2.21",
            "tls": {"cert_file": str(self.root / "api.crt"), "key_file": str(self.root / "api.key")},
            "client_ca_file": str(self.root / "ca.crt"),
            "store_sockets": [f"unix:{self.root / 'store.sock'}"],
            "default_toleration_s": 1,
        }

    def controllers_config(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "client": {
                "servers": [f"https://127.0.0.1:{self.port}"],
                "ca_file": str(self.root / "ca.crt"),
                "cert_file": str(self.root / "controllers.crt"),
                "key_file": str(self.root / "controllers.key"),
            },
            "cluster_cidr": "10.91.0.0/16",
            "node_grace_s": NODE_GRACE_S,
            "root_ca_file": str(self.root / "ca.crt"),
        }

    def _run(self, module: str, config: dict[str, Any]) -> None:
        self._processes[module] = self._spawn(module, module, config)

    def _spawn(self, name: str, module: str, config: dict[str, Any]) -> subprocess.Popen[bytes]:
        path = self.root / f"{name}.json"
        path.write_text(json.dumps(config))
        with (self.root / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", module, "--config", str(path)]
            return subprocess.Popen(command, stderr=log, stdout=log)

    def process(self, module: str) -> subprocess.Popen[bytes]:
        return self._processes[module]

    @contextmanager
    def second_manager(self, name: str) -> Iterator[None]:
        """One more controller manager, stopped in order afterwards."""
        process = self._spawn(name, "master.controllers", self.controllers_config(name))
        try:
            yield
        finally:
            end(process)

    def client(self) -> RestClient:
        config = ClientConfig(
            servers=[f"https://127.0.0.1:{self.port}"],
            ca_file=str(self.root / "ca.crt"),
            cert_file=str(self.root / "admin.crt"),
            key_file=str(self.root / "admin.key"),
        )
        return RestClient(config, user_agent="controllers-test")

    def _wait_ready(self) -> None:
        async def ready() -> None:
            client = self.client()

            async def default_exists() -> bool:
                try:
                    await client.get(Namespace, "default")
                except (ApiError, OSError):
                    return False
                return True

            try:
                await until(default_exists, f"the API server's readiness, logs in {self.root}", 30.0)
            finally:
                await client.close()

        asyncio.run(ready())

    def stop(self) -> None:
        for process in reversed(self._processes.values()):
            end(process)

    @asynccontextmanager
    async def namespace(self, name: str) -> AsyncIterator[RestClient]:
        """A client, and a namespace that is deleted afterwards."""
        client = self.client()
        try:
            await client.create(Namespace(metadata=ObjectMeta(name=name)))
            yield client
        finally:
            with suppress(ApiError):
                await client.delete(Namespace, name)
            await client.close()


class Kubectl:
    """The real one, as the cluster's administrator."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        root = plane.root
        self._options = [
            f"--server=https://127.0.0.1:{plane.port}",
            f"--certificate-authority={root / 'ca.crt'}",
            f"--client-certificate={root / 'admin.crt'}",
            f"--client-key={root / 'admin.key'}",
            f"--cache-dir={root / 'kubectl-cache'}",
            f"--namespace={namespace}",
        ]

    async def run(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "kubectl", *self._options, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, f"kubectl {' '.join(arguments)}: {output.decode()}"
        return output.decode()
