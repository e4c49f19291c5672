"""The whole process on a node: it follows an API server, and rules, DNS and repairs come of it."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy_api import FakeApi
from proxy_lab import CLUSTER_IP, NODE_IP, PODS, Lab, make_service, make_slice, wait_until
from test_proxy_dns_wire import Reply, query

API_PORT = 18_080
DNS_IP = "10.96.0.10"
STOP_TIMEOUT_S = 5.0


class Node:
    """A running proxy with the API server it follows."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.api = FakeApi(API_PORT, lambda make: lab.on("node", make))
        self.config = folder / "proxy.json"
        self.log = folder / "proxy.log"
        content = {
            "node_name": "node-1",
            "address": NODE_IP,
            "client": {"servers": [f"http://127.0.0.1:{API_PORT}"], "ca_file": ""},
            "cluster_cidr": "10.91.0.0/16",
            "service_cidr": "10.96.0.0/16",
            "dns": {"address": DNS_IP, "domain": "cluster.local", "upstreams": []},
        }
        self.config.write_text(json.dumps(content))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        inside = ["nsenter", f"--net=/run/netns/{self.lab.netns('node')}"]
        return [*inside, sys.executable, "-m", "proxy", *arguments]

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.command("--config", str(self.config)), stdout=output, stderr=output)

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def cleanup(self) -> None:
        done = subprocess.run(self.command("--cleanup", "--config", str(self.config)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.cleanup()
        self.api.close()

    def who_answers(self, host: str = "pod1") -> str:
        with contextlib.suppress(OSError):
            return self.lab.ask_tcp(host)[0]
        return ""

    def resolve(self, name: str, host: str = "pod1") -> list[str]:
        def ask() -> list[str]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)
                sock.connect((DNS_IP, 53))
                sock.send(query(name))
                return Reply(sock.recv(2000)).addresses

        with contextlib.suppress(OSError):
            return self.lab.on(host, ask)
        return []


@pytest.fixture
def node(node_lab: Lab, tmp_path: Path) -> Iterator[Node]:
    made = Node(node_lab, tmp_path)
    try:
        yield made
    except BaseException:
        print(made.log.read_text() if made.log.exists() else "no log")
        raise
    finally:
        made.close()


def test_a_node_follows_the_cluster_from_start_to_cleanup(node: Node) -> None:
    dns = make_service("kube-dns", cluster_ip=DNS_IP)
    node.api.put(make_service("kubernetes", cluster_ip="10.96.0.1"), dns)
    node.api.put(make_service(), make_slice(PODS["pod2"]))
    node.start()
    wait_until(lambda: node.who_answers() == "pod2", what="the first rules")
    wait_until(lambda: node.resolve("web.default.svc.cluster.local") == [CLUSTER_IP], what="DNS")
    assert node.resolve("kubernetes.default.svc.cluster.local") == ["10.96.0.1"]
    assert f"-d {DNS_IP}" not in node.lab.command("node", "iptables-legacy-save")

    started = time.monotonic()
    node.api.put(make_slice(PODS["pod3"]))
    wait_until(lambda: node.who_answers() == "pod3", what="a changed endpoint")
    assert time.monotonic() - started < 2  # the promise is a second; this machine may be busy

    node.lab.command("node", "iptables-legacy", "-t", "nat", "-F")
    wait_until(lambda: node.who_answers() == "pod3", what="the repair of flushed rules")

    late = make_service("late", cluster_ip="10.96.0.77")
    node.api.put(late)
    wait_until(lambda: node.resolve("late.default.svc.cluster.local") == ["10.96.0.77"], what="a new name")
    node.api.delete(late)
    wait_until(lambda: not node.resolve("late.default.svc.cluster.local"), what="the end of a name")

    assert node.stop() == 0
    assert node.who_answers() == "pod3"  # traffic goes on without the proxy
    node.cleanup()
    assert "KUBE-" not in node.lab.command("node", "iptables-legacy-save")
    assert DNS_IP not in node.lab.command("node", "ip", "-4", "addr", "show", "dev", "lo")


def test_a_proxy_without_a_server_waits_and_touches_nothing(node: Node) -> None:
    node.api.put(make_service(), make_slice(PODS["pod2"]))
    node.start()
    wait_until(lambda: node.who_answers() == "pod2", what="the first rules")
    assert node.stop() == 0
    text = node.config.read_text().replace(str(API_PORT), "18081")
    node.config.write_text(text)
    node.log.write_text("")
    node.start()
    wait_until(lambda: "services:" in node.log.read_text(), what="word of the missing server")
    assert node.who_answers() == "pod2"  # rules of the former process stay until there is a new picture
    assert node.stop() == 0


def test_a_bad_configuration_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text('{"node_name": 3}')
    done = subprocess.run([sys.executable, "-m", "proxy", "--config", str(file)], capture_output=True, text=True)
    assert done.returncode == 1 and "cannot start" in done.stderr and "Traceback" not in done.stderr
