"""`python -m raftstore.bench`: durable writes and linearizable reads a second, and how long one takes.

It starts members of its own on the loopback interface, with mutual TLS unless told otherwise, and writes through
the leader's socket. The load shares the machine with the members, so figures are those of the machine's share.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from raftstore.client import StoreClient
from raftstore.errors import StoreError
from raftstore.protocol import StoreStatus

_WRITERS: Final = (1, 16, 64)
_KEYS: Final = 1000
_START_TIMEOUT_S: Final = 20.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="raftstore.bench", description=__doc__)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row")
    parser.add_argument("--value-bytes", type=int, default=1024)
    parser.add_argument("--writers", type=int, nargs="*", default=list(_WRITERS))
    parser.add_argument("--plain", action="store_true", help="no TLS between members")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory) as directory,
        _members(Path(directory), arguments.members, tls=not arguments.plain) as sockets,
    ):
        asyncio.run(_measure(sockets, arguments.writers, arguments.seconds, arguments.value_bytes))


async def _measure(sockets: list[Path], writers: list[int], seconds: float, value_bytes: int) -> None:
    leader = await _leader(sockets)
    client = StoreClient([f"unix:{leader}"], timeout_s=_START_TIMEOUT_S)
    value = bytes(value_bytes)

    async def write(number: int) -> None:
        await client.put(f"/bench/{number % _KEYS}", value)

    async def read(number: int) -> None:
        await client.get(f"/bench/{number % _KEYS}")

    print(f"{len(sockets)} members, {value_bytes} bytes a value")
    print(f"{'':16}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}{'leader us each':>16}{'a sync':>8}")
    for label, operation in (("writers", write), ("readers", read)):
        for count in writers:
            before = await client.status()
            latencies = await _load(operation, count, seconds)
            _print_row(f"{count} {label}", latencies, seconds, before, await client.status())
    before = await client.status()
    await asyncio.sleep(seconds)
    idle = (await client.status()).cpu_seconds - before.cpu_seconds
    print(f"idle: {100 * idle / seconds:.2f} % of a core for the leader")
    await client.close()


async def _load(operation: Callable[[int], Awaitable[None]], count: int, seconds: float) -> list[float]:
    latencies: list[float] = []
    deadline_s = time.perf_counter() + seconds

    async def one(worker: int) -> None:
        number = worker
        while (started_s := time.perf_counter()) < deadline_s:
            await operation(number)
            latencies.append(time.perf_counter() - started_s)
            number += count

    await asyncio.gather(*(one(worker) for worker in range(count)))
    return sorted(latencies)


def _print_row(label: str, latencies: list[float], seconds: float, before: StoreStatus, after: StoreStatus) -> None:
    done = len(latencies)
    p50_ms, p99_ms = (1000 * latencies[int(share * (done - 1))] for share in (0.5, 0.99))
    cpu_us = 1e6 * (after.cpu_seconds - before.cpu_seconds) / done
    syncs = after.journal_syncs - before.journal_syncs
    per_sync = f"{done / syncs:.1f}" if after.revision > before.revision else "-"
    print(f"{label:16}{done / seconds:10.0f}{p50_ms:9.2f}{p99_ms:9.2f}{cpu_us:16.0f}{per_sync:>8}")


async def _leader(sockets: list[Path]) -> Path:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        for path in sockets:
            client = StoreClient([f"unix:{path}"], timeout_s=0.5)
            with contextlib.suppress(StoreError):
                if (await client.status()).role == "leader":
                    return path
            await client.close()
        await asyncio.sleep(0.1)
    raise SystemExit("no leader was elected")


@contextlib.contextmanager
def _members(directory: Path, count: int, *, tls: bool) -> Iterator[list[Path]]:
    names = [f"m{number}" for number in range(count)]
    peers = {name: f"127.0.0.1:{port}" for name, port in zip(names, _free_ports(count), strict=True)}
    if tls:
        _make_certificate(directory, names)
    processes = []
    try:
        for name in names:
            config: dict[str, Any] = {"name": name, "data_dir": str(directory / name), "peers": peers}
            config["client_socket"] = str(directory / f"{name}.sock")
            if tls:
                config["peer_tls"] = {
                    "cert_file": str(directory / f"{name}.crt"),
                    "key_file": str(directory / f"{name}.key"),
                    "ca_file": str(directory / "ca.crt"),
                }
            path = directory / f"{name}.json"
            path.write_text(json.dumps(config))
            command = [sys.executable, "-m", "raftstore", "--config", str(path)]
            processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        yield [directory / f"{name}.sock" for name in names]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def _make_certificate(directory: Path, names: list[str]) -> None:
    """A throw-away authority and a certificate for each member."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=bench")
    for name in names:
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
        openssl("x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.crt")


if __name__ == "__main__":
    main()
