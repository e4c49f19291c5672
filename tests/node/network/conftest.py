"""A node's network namespace of the test's own, and sandboxes that are nothing but a sleeping process in another."""

import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.engine.base import SandboxState

CLONE_NEWNET = 0x40000000
DEADLINE_S = 10.0
libc = ctypes.CDLL(None, use_errno=True)

SandboxFactory = Callable[[str], SandboxState]


def check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@pytest.fixture
def node_netns() -> Iterator[None]:
    """Moves the test (its main thread and the commands it starts) into a fresh namespace, and back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        check(libc.unshare(CLONE_NEWNET))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        check(libc.setns(home, CLONE_NEWNET))
        os.close(home)


@pytest.fixture
def sandbox(node_netns: None) -> Iterator[SandboxFactory]:
    processes: list[subprocess.Popen[bytes]] = []

    def make(name: str) -> SandboxState:
        process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        processes.append(process)
        own = os.readlink("/proc/thread-self/ns/net")
        deadline = time.monotonic() + DEADLINE_S
        while os.readlink(f"/proc/{process.pid}/ns/net") == own:
            assert time.monotonic() < deadline, "unshare did not"
        path = f"/proc/{process.pid}/ns/net"
        return SandboxState(
            id=name, pod_uid=name, name=name, namespace="default", attempt=0, running=True, pid=process.pid, netns=path
        )

    yield make
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "network"
