"""The engines' daemons as tests start, kill and clear them: a private dockerd, and the embedded engine's shim."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from node import cgroups
from node.engine.base import Engine
from node.engine.docker import DockerEngine
from node.engine.embedded import EmbeddedEngine

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class Daemon:
    """An engine's daemon that tests may kill and start again."""

    def __init__(self, kind: str, folder: Path, argv: list[str], make: Callable[[], Engine]) -> None:
        self.kind = kind
        self.folder = folder
        self.group = f"/timonier-test-{os.getpid()}/{kind}"
        self.make_engine = make
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "daemon.log").open("ab") as output:
            self._process = subprocess.Popen(self._argv, stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.folder / "engine.sock").exists():
            assert self._process.poll() is None, (self.folder / "daemon.log").read_text()
            assert time.monotonic() < deadline, (self.folder / "daemon.log").read_text()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a crash does it: nothing is said to the containers."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        (self.folder / "engine.sock").unlink(missing_ok=True)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def clear(self) -> None:
        """Whatever a failed test left: processes, mounts, cgroups, files."""
        groups = cgroups.detect()
        groups.kill(self.group)
        for mount in reversed(mounts_below(self.folder)):
            subprocess.run(["umount", "-l", mount], capture_output=True)
        groups.remove(self.group)
        groups.remove(str(Path(self.group).parent))
        shutil.rmtree(self.folder, ignore_errors=True)


def mounts_below(folder: Path) -> list[str]:
    return [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if f" {folder}/" in line]


def docker_daemon(folder: Path) -> Daemon:
    socket = folder / "engine.sock"
    daemon = Daemon("docker", folder, [], lambda: DockerEngine(str(socket)))
    daemon._argv = [
        *("dockerd", "--host", f"unix://{socket}", "--data-root", str(folder / "data")),
        *("--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false"),
        *("--ip-forward=false", "--ip-masq=false", "--userland-proxy=false", "--storage-driver", "overlay2"),
        *("--cgroup-parent", daemon.group, "--exec-opt", "native.cgroupdriver=cgroupfs", "--log-level", "error"),
    ]
    return daemon


def embedded_daemon(folder: Path, launcher: str) -> Daemon:
    socket = folder / "engine.sock"
    daemon = Daemon(f"embedded-{launcher}", folder, [], lambda: EmbeddedEngine(str(socket)))
    daemon._argv = [
        *(sys.executable, "-m", "node.engine.embedded", "--socket", str(socket), "--root", str(folder / "root")),
        *("--cgroup-parent", daemon.group, "--launcher", launcher),
    ]
    return daemon


def make_daemon(kind: str, folder: Path) -> Daemon:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    needed = {"docker": "dockerd", "embedded-runc": "runc"}.get(kind)
    if needed and shutil.which(needed) is None:
        pytest.skip(f"no {needed} on this machine")
    return docker_daemon(folder) if kind == "docker" else embedded_daemon(folder, kind.partition("-")[2])
