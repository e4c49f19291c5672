"""A node in a box for tests: network namespaces with real pods' addresses, real servers and real clients.

`node` has a bridge with three pods behind it and an outside host before it; nothing touches the machine's own network.
"""

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from master.api.core.service import Service, ServicePort, ServiceSpec
from master.api.discovery.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from master.api.meta import ObjectMeta
from proxy.conntrack import current_flows, open_link

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
CLUSTER_CIDR = "10.91.0.0/16"
NODE_IP, OUTSIDE_IP = "10.90.0.11", "10.90.99.9"
SILENT_IP = "203.0.113.7"  # routed to the outside host, which forwards nothing: as a dead node's pod
PODS = {"pod1": "10.91.1.11", "pod2": "10.91.1.12", "pod3": "10.91.1.13"}
CLUSTER_IP = "10.96.0.50"
PORT, TARGET_PORT, NODE_PORT = 80, 8080, 30080
CONNECT_TIMEOUT_S = 3.0
_NUMBERS = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


def make_service(name: str = "web", *, protocols: tuple[str, ...] = ("TCP", "UDP"), **spec: object) -> Service:
    ports = [ServicePort(name=p.lower(), protocol=p, port=PORT, target_port=TARGET_PORT) for p in protocols]
    if spec.pop("node_port", False):
        for port in ports:
            port.node_port = NODE_PORT
    fields = {"cluster_ip": CLUSTER_IP, "type": "ClusterIP", "ports": ports, **spec}
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(**fields))  # type: ignore[arg-type]


def make_slice(
    *addresses: str,
    service: str = "web",
    node_name: str = "node-1",
    protocols: tuple[str, ...] = ("TCP", "UDP"),
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
    suffix: str = "a",
) -> EndpointSlice:
    conditions = EndpointConditions(ready=ready, serving=serving, terminating=terminating)
    return EndpointSlice(
        metadata=ObjectMeta(
            name=f"{service}-{suffix}", namespace="default", labels={"kubernetes.io/service-name": service}
        ),
        address_type="IPv4",
        ports=[EndpointPort(name=p.lower(), protocol=p, port=TARGET_PORT) for p in protocols],
        endpoints=[Endpoint(addresses=[a], conditions=conditions, node_name=node_name) for a in addresses],
    )


def in_netns(name: str, function: Callable[[], T]) -> T:
    """Runs a function in a namespace, on a thread of its own; sockets made there stay there."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(fd, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {name}")
            finally:
                os.close(fd)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "condition") -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s} s"
        threading.Event().wait(0.02)


class Lab:
    def __init__(self) -> None:
        self.prefix = f"tpx{os.getpid()}x{next(_NUMBERS)}"
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def netns(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    @property
    def hosts(self) -> list[str]:
        return ["node", "out", *PODS]

    def build(self) -> None:
        node = self.netns("node")
        batch(None, [f"netns add {self.netns(h)}" for h in self.hosts])
        lines = ["link set lo up", "link add cni0 type bridge forward_delay 0", "link set cni0 up"]
        lines += ["addr add 10.91.1.1/24 dev cni0"]
        for pod in PODS:
            lines.append(f"link add {pod} type veth peer name eth0 netns {self.netns(pod)}")
            lines += [f"link set {pod} master cni0 up", f"link set {pod} type bridge_slave hairpin on"]
        lines += [f"link add eth0 type veth peer name eth0 netns {self.netns('out')}"]
        lines += [f"addr add {NODE_IP}/16 dev eth0", "link set eth0 up", f"route add default via {OUTSIDE_IP}"]
        batch(node, lines)
        for pod, ip in PODS.items():
            up = ["link set lo up", "link set eth0 up", f"addr add {ip}/24 dev eth0", "route add default via 10.91.1.1"]
            batch(self.netns(pod), up)
        up = ["link set lo up", "link set eth0 up", f"addr add {OUTSIDE_IP}/16 dev eth0"]
        batch(
            self.netns("out"), [*up, f"route add 10.91.0.0/16 via {NODE_IP}", f"route add 10.96.0.0/16 via {NODE_IP}"]
        )

    def destroy(self) -> None:
        self.close_servers()
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", self.netns(host)], capture_output=True, check=False)

    def on(self, host: str, function: Callable[[], T]) -> T:
        return in_netns(self.netns(host), function)

    def command(self, host: str, *argv: str) -> str:
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.netns(host)}", *argv], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self, host: str, port: int = TARGET_PORT) -> None:
        """TCP and UDP servers that answer "<host> <address of the client>"."""
        tcp, udp = self.on(host, lambda: (_listen(socket.SOCK_STREAM, port), _listen(socket.SOCK_DGRAM, port)))
        for target, sock in ((_serve_tcp, tcp), (_serve_udp, udp)):
            self._sockets.append(sock)
            thread = threading.Thread(target=target, args=(sock, host), daemon=True)
            thread.start()
            self._threads.append(thread)

    def close_servers(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes a blocked accept or recvfrom
            sock.close()
        for thread in self._threads:
            thread.join(5)
        self._sockets.clear()
        self._threads.clear()

    def ask_tcp(
        self, host: str, ip: str = CLUSTER_IP, port: int = PORT, timeout_s: float = CONNECT_TIMEOUT_S
    ) -> list[str]:
        def ask() -> list[str]:
            with socket.create_connection((ip, port), timeout_s) as sock:
                return sock.recv(200).decode().split()

        return self.on(host, ask)

    def wait_for_knocks(self, host: str, ip: str, count: int) -> None:
        """Until so many unanswered TCP connections towards an address are known on a host."""

        def knocks() -> int:
            with contextlib.closing(open_link()) as link:
                return sum(f.protocol == "tcp" and f.reply_source[0] == ip for f in current_flows(link))

        deadline = time.monotonic() + 10
        while self.on(host, knocks) < count:
            assert time.monotonic() < deadline, f"nobody knocks at {ip}"

    def ask_udp(
        self, host: str, ip: str = CLUSTER_IP, port: int = PORT, sock: socket.socket | None = None
    ) -> list[str]:
        own = sock or self.udp_client(host)
        try:
            own.sendto(b"?", (ip, port))
            return own.recv(200).decode().split()
        finally:
            if sock is None:
                own.close()

    def udp_client(self, host: str, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
        sock = self.on(host, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.settimeout(timeout_s)
        return sock


def batch(netns: str | None, lines: list[str]) -> None:
    where = ["-n", netns] if netns else []
    done = subprocess.run(
        ["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _listen(kind: int, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        sock.listen(128)
    return sock


def _serve_tcp(sock: socket.socket, host: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer, address = sock.accept()
            with peer:
                peer.sendall(f"{host} {address[0]}".encode())


def _serve_udp(sock: socket.socket, host: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            _, address = sock.recvfrom(100)
            if not address:  # the socket was shut down
                return
            sock.sendto(f"{host} {address[0]}".encode(), address)


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    made = Lab()
    try:
        made.build()
        yield made
    finally:
        made.destroy()
