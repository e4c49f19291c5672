"""Real members for tests: processes on loopback, with certificates of their own when TLS is wanted."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from raftstore.client import StoreClient
from raftstore.errors import OutcomeUnknown, StoreError, Unavailable
from raftstore.protocol import StoreStatus

T = TypeVar("T")
START_TIMEOUT_S = 20.0


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def make_certificates(directory: Path, names: list[str]) -> None:
    """A certificate authority and one certificate a name, by the openssl command."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=30)

    directory.mkdir(exist_ok=True)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test-ca", "-days", "2")
    for name in names:
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        openssl("x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.crt")


class Cluster:
    """Members that can be started, killed, paused and asked."""

    def __init__(
        self, directory: Path, size: int = 3, *, tls: bool = False, tuning: dict[str, Any] | None = None
    ) -> None:
        self.directory = directory
        self.names = [f"m{number}" for number in range(size)]
        self.peers = {name: f"127.0.0.1:{port}" for name, port in zip(self.names, free_ports(size), strict=True)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        if tls:
            make_certificates(directory / "tls", self.names)
        for name in self.names:
            config: dict[str, Any] = {
                "name": name,
                "data_dir": str(directory / name),
                "peers": self.peers,
                "client_socket": str(self.socket(name)),
                "profile_timeouts": {"election_ms": [500, 1000], "heartbeat_ms": 60},
                "tuning": tuning or {},
            }
            if tls:
                files = {
                    kind: str(directory / "tls" / f"{name}.{ext}")
                    for kind, ext in (("cert_file", "crt"), ("key_file", "key"))
                }
                config["peer_tls"] = {**files, "ca_file": str(directory / "tls" / "ca.crt")}
            self.config_path(name).write_text(json.dumps(config))

    def config_path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def socket(self, name: str) -> Path:
        return self.directory / f"{name}.sock"

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    # --- processes

    def start(self, *names: str) -> None:
        for name in names or self.names:
            with open(self.directory / f"{name}.log", "ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "raftstore", "--config", str(self.config_path(name))], stderr=log
                )

    def kill(self, *names: str) -> None:
        for name in names or list(self.processes):
            self.processes[name].kill()
        for name in names or list(self.processes):
            self.processes.pop(name).wait(10)

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def stop(self, name: str) -> int:
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(10)

    def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(OSError):
                process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.processes.values():
            process.wait(10)

    # --- clients

    def client(self, *names: str, timeout_s: float = 5.0) -> StoreClient:
        return StoreClient([f"unix:{self.socket(name)}" for name in names or self.names], timeout_s=timeout_s)

    async def status(self, name: str) -> StoreStatus | None:
        client = self.client(name, timeout_s=0.5)
        try:
            return await client.status()
        except StoreError:
            return None
        finally:
            await client.close()

    async def leader(self, *among: str, timeout_s: float = START_TIMEOUT_S) -> str:
        """The member that a majority of those asked follow, or that leads in the newest term."""

        async def find() -> str | None:
            found = [await self.status(name) for name in among or list(self.processes)]
            leading = [status for status in found if status is not None and status.role == "leader"]
            best = max(leading, key=lambda status: status.term, default=None)
            return best.name if best is not None else None

        return await eventually(find, timeout_s)


@contextlib.contextmanager
def running(
    directory: Path, size: int = 3, *, tls: bool = False, tuning: dict[str, Any] | None = None
) -> Iterator[Cluster]:
    """A cluster whose members are started, and gone afterwards whatever happens."""
    cluster = Cluster(directory, size, tls=tls, tuning=tuning)
    try:
        cluster.start()
        yield cluster
    except BaseException:
        for name in cluster.names:
            if (directory / f"{name}.log").exists():
                print(f"--- {name}\n{cluster.log(name)[-3000:]}")
        raise
    finally:
        cluster.close()


async def eventually(condition: Callable[[], Awaitable[T | None]], timeout_s: float = 20.0) -> T:
    """Wait until something is there."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = await condition()
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {timeout_s} s")
        await asyncio.sleep(0.02)


class Writers:
    """Load: every writer counts up its own key; what was acknowledged is remembered."""

    def __init__(self, client: StoreClient, count: int) -> None:
        self.client = client
        self.acknowledged = [0] * count
        self.attempted = [0] * count
        self.longest_gap_s = 0.0
        self._last_s = time.monotonic()
        self._stopping = False
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(count)]

    async def _write(self, number: int) -> None:
        while not self._stopping:
            value = self.attempted[number] = self.attempted[number] + 1
            try:
                await self.client.put(f"/load/{number}", b"%d" % value)
            except (Unavailable, OutcomeUnknown):
                continue
            self.acknowledged[number] = value
            now_s = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now_s - self._last_s)
            self._last_s = now_s

    async def reached(self, total: int, timeout_s: float = 30.0) -> None:
        """Wait for so many more acknowledged writes."""
        target = sum(self.acknowledged) + total

        async def enough() -> bool:
            return sum(self.acknowledged) >= target

        await eventually(enough, timeout_s)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def check(self, client: StoreClient) -> None:
        """Nothing acknowledged is missing, nothing was written that was not attempted."""
        for number, acknowledged in enumerate(self.acknowledged):
            kv = await client.get(f"/load/{number}")
            value = int(kv.value) if kv is not None else 0
            assert acknowledged <= value <= self.attempted[number]


def socket_mode(path: Path) -> int:
    return os.stat(path).st_mode & 0o777
