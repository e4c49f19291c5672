"""Real processes: one store member and API servers on it, on loopback."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from apiserver_certificates import TestAuthority
from apiserver_harness import Caller, config_for, free_port, until

STOP_S = 10


class Processes:
    def __init__(self, folder: Path, authority: TestAuthority, identity: tuple[str, str]) -> None:
        self._folder = folder
        self._authority = authority
        self._identity = identity
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._socket = str(folder / "store.sock")
        tree = {
            "name": "master-1",
            "data_dir": str(folder / "data"),
            "peers": {"master-1": f"127.0.0.1:{free_port()}"},
            "client_socket": self._socket,
            "profile_timeouts": {"election_ms": [150, 300], "heartbeat_ms": 30},
        }
        self._store_config = folder / "store.json"
        self._store_config.write_text(json.dumps(tree))

    def _start(self, name: str, module: str, config: Path) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, "--config", str(config)]
            self._running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def start_store(self) -> None:
        self._start("store", "raftstore", self._store_config)

    def start_apiserver(self, name: str, **more: Any) -> Caller:
        port = free_port()
        config = msgspec.structs.replace(config_for(self._authority, port, [f"unix:{self._socket}"], **more), name=name)
        path = self._folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(config))
        self._start(name, "master.apiserver", path)
        return Caller(port, self._authority, self._identity)

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait(timeout=STOP_S)

    def terminate(self, name: str, within_s: float) -> int:
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=within_s)

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()


def is_ready(caller: Caller) -> bool:
    try:
        return caller.get("/readyz").code == 200
    except OSError:
        return False


def ready(caller: Caller) -> Caller:
    until(lambda: is_ready(caller), "readiness", 30)
    return caller
