"""A tiny fabric for tests: hosts that are a namespace, a port on a bridge and a cgroup with one process."""

import contextlib
import itertools
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chaos import cgroups
from chaos.fabric import NETNS_DIR, FabricHost
from chaos.netns import in_netns

_NUMBERS = itertools.count(1)
PORT = 9000


class LabFabric:
    """Implements the Fabric protocol; `start` runs a plain sleeper as the host's only process."""

    def __init__(self, names: Sequence[str]) -> None:
        self.prefix = f"tch{os.getpid()}x{next(_NUMBERS)}"
        self.starts: list[str] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._hosts = [
            FabricHost(
                name,
                "master" if name.startswith("m") else "node",
                f"10.77.0.{index + 1}",
                f"{self.prefix}-{name}",
                f"/{self.prefix}/{name}",
            )
            for index, name in enumerate(names)
        ]

    @property
    def netns(self) -> str:
        return f"{self.prefix}-fab"

    @property
    def hosts(self) -> list[FabricHost]:
        return self._hosts

    def start(self, name: str) -> None:
        self.starts.append(name)
        self.spawn(name, ["sleep", "600"])

    # -- what the protocol does not ask for -----------------------------------------------------------------------
    def host(self, name: str) -> FabricHost:
        return next(h for h in self._hosts if h.name == name)

    def build(self) -> None:
        batch(None, [f"netns add {ns}" for ns in [self.netns, *(h.netns for h in self._hosts)]])
        batch(self.netns, ["link set lo up", "link add br0 type bridge forward_delay 0", "link set br0 up"])
        in_netns(NETNS_DIR / self.netns, _let_rules_see_bridged_packets)
        for host in self._hosts:
            batch(None, [f"link add eth0 netns {host.netns} type veth peer name {host.name} netns {self.netns}"])
            batch(self.netns, [f"link set {host.name} master br0 up"])
            batch(host.netns, ["link set lo up", f"addr add {host.address}/24 dev eth0", "link set eth0 up"])

    def spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        """A process in the host's cgroup, in every hierarchy."""
        leaves = [h / self.host(name).cgroup.strip("/") / "sys" for h in cgroups.hierarchies()]
        for leaf in leaves:
            with contextlib.suppress(OSError):
                leaf.mkdir(parents=True, exist_ok=True)
        usable = [leaf for leaf in leaves if leaf.is_dir() and leaf.parts[4] != "cpuset"]

        def enter() -> None:
            for leaf in usable:
                (leaf / "cgroup.procs").write_text("0")

        child = subprocess.Popen(command, preexec_fn=enter, start_new_session=True)
        self._children.append(child)
        # An unreaped zombie is no process of the host any more, but a parent has to wait for its child.
        threading.Thread(target=child.wait, daemon=True).start()
        return child

    def destroy(self) -> None:
        for host in self._hosts:
            cgroups.kill(host.cgroup)
        for child in self._children:
            child.wait(10)
        for netns in [self.netns, *(h.netns for h in self._hosts)]:
            subprocess.run(["ip", "netns", "del", netns], capture_output=True, check=False)
        for hierarchy in cgroups.hierarchies():
            for folder, _, _ in os.walk(hierarchy / self.prefix, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def reaches(self, source: str, target: str) -> bool:
        """Whether a datagram from one host arrives at the other (one way)."""

        def receiver() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((self.host(target).address, PORT))
            return sock

        def sender() -> socket.socket:
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        receive = in_netns(NETNS_DIR / self.host(target).netns, receiver)
        with receive, in_netns(NETNS_DIR / self.host(source).netns, sender) as send:
            receive.settimeout(0.1)
            for _ in range(4):
                with contextlib.suppress(OSError):
                    send.sendto(b"?", (self.host(target).address, PORT))
                with contextlib.suppress(TimeoutError):
                    return receive.recv(10) == b"?"
        return False


def _let_rules_see_bridged_packets() -> None:
    Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("1")


def batch(netns: str | None, lines: list[str]) -> None:
    where = ["-n", netns] if netns else []
    done = subprocess.run(
        ["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        threading.Event().wait(0.01)


@contextlib.contextmanager
def lab(*names: str) -> Iterator[LabFabric]:
    made = LabFabric(names)
    try:
        made.build()
        yield made
    finally:
        made.destroy()
