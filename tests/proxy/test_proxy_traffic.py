"""Real connections through real rules: pods, the node itself and an outside host talk to services."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from proxy_lab import CLUSTER_IP, NODE_IP, NODE_PORT, OUTSIDE_IP, PODS, SILENT_IP, Lab, make_service, make_slice

from master.api.core.service import Service
from master.api.discovery.endpointslice import EndpointSlice
from proxy.conntrack import forget_stale_flows, frontends_of, with_removed
from proxy.iptables import IptablesWriter
from proxy.state import ServiceState
from proxy.sysctls import apply_sysctls

CIDR = "10.91.0.0/16"
ALL = tuple(PODS.values())


class Programmed:
    """What the agent does, without a cluster to follow."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.writer = lab, IptablesWriter()
        self.state = ServiceState("node-1", CIDR)
        self.frontends = frontends_of([])

    def program(self, service: Service | None, *slices: EndpointSlice) -> None:
        self.state.refresh(["default/web"], lambda _: service, lambda _: list(slices))
        self.lab.on("node", self._sync)

    def _sync(self) -> int:
        apply_sysctls()
        self.writer.apply(self.state.ruleset())
        now = frontends_of(self.state.mappings())
        both, self.frontends = with_removed(now, self.frontends), now
        return forget_stale_flows(both, NODE_IP)


@pytest.fixture
def node(node_lab: Lab) -> Iterator[Programmed]:
    programmed = Programmed(node_lab)
    yield programmed
    node_lab.on("node", programmed.writer.cleanup)


@pytest.mark.parametrize("client", ["pod1", "node", "out"])
def test_connections_to_the_cluster_ip_reach_every_endpoint(node: Programmed, client: str) -> None:
    node.program(make_service(), make_slice(*ALL))
    answers = Counter(node.lab.ask_tcp(client)[0] for _ in range(60))
    assert set(answers) == set(PODS) and min(answers.values()) >= 5
    answers = Counter(node.lab.ask_udp(client)[0] for _ in range(60))
    assert set(answers) == set(PODS) and min(answers.values()) >= 5


def test_a_pod_keeps_its_address_towards_another_pod(node: Programmed) -> None:
    node.program(make_service(), make_slice(PODS["pod2"]))
    assert node.lab.ask_tcp("pod1") == ["pod2", PODS["pod1"]]
    assert node.lab.ask_udp("pod1") == ["pod2", PODS["pod1"]]


def test_a_pod_reaches_itself_through_its_own_service(node: Programmed) -> None:
    node.program(make_service(), make_slice(PODS["pod1"]))
    assert node.lab.ask_tcp("pod1")[0] == "pod1"
    assert node.lab.ask_udp("pod1")[0] == "pod1"


@pytest.mark.parametrize("client", ["out", "node", "pod1"])
def test_node_ports_answer_to_everybody(node: Programmed, client: str) -> None:
    node.program(make_service(node_port=True), make_slice(*ALL))
    assert {node.lab.ask_tcp(client, NODE_IP, NODE_PORT)[0] for _ in range(40)} == set(PODS)
    assert {node.lab.ask_udp(client, NODE_IP, NODE_PORT)[0] for _ in range(40)} == set(PODS)


def test_a_node_port_answers_on_the_nodes_own_loopback(node: Programmed) -> None:
    node.program(make_service(node_port=True), make_slice(PODS["pod2"]))
    assert node.lab.ask_tcp("node", "127.0.0.1", NODE_PORT)[0] == "pod2"


def test_external_addresses_answer(node: Programmed) -> None:
    node.program(make_service(external_ips=["192.0.2.50"]), make_slice(PODS["pod2"]))
    assert node.lab.ask_tcp("pod1", "192.0.2.50")[0] == "pod2"


def test_a_client_with_affinity_stays_with_one_endpoint(node: Programmed) -> None:
    node.program(make_service(session_affinity="ClientIP"), make_slice(*ALL))
    for client in ("pod1", "node", "out"):
        assert len({node.lab.ask_tcp(client)[0] for _ in range(20)}) == 1


def test_a_service_without_endpoints_refuses_at_once(node: Programmed) -> None:
    node.program(make_service(node_port=True))
    for client, ip, port in (("pod1", CLUSTER_IP, 80), ("node", CLUSTER_IP, 80), ("out", NODE_IP, NODE_PORT)):
        with pytest.raises(ConnectionRefusedError):
            node.lab.ask_tcp(client, ip, port)
    node.program(make_service(node_port=True), make_slice(PODS["pod2"]))
    assert node.lab.ask_tcp("pod1")[0] == "pod2"


def test_the_local_policy_keeps_the_outside_clients_address(node: Programmed) -> None:
    local, remote = make_slice(PODS["pod2"]), make_slice(PODS["pod3"], node_name="node-2", suffix="b")
    node.program(make_service(node_port=True, external_traffic_policy="Local"), local, remote)
    for _ in range(10):
        assert node.lab.ask_tcp("out", NODE_IP, NODE_PORT) == ["pod2", OUTSIDE_IP]
    assert {node.lab.ask_tcp("node", NODE_IP, NODE_PORT)[0] for _ in range(40)} == {"pod2", "pod3"}


def test_the_local_policy_drops_outside_traffic_where_no_endpoint_is(node: Programmed) -> None:
    remote = make_slice(PODS["pod3"], node_name="node-2")
    node.program(make_service(node_port=True, external_traffic_policy="Local"), remote)
    sock = node.lab.udp_client("out", timeout_s=0.3)
    with contextlib.closing(sock), pytest.raises(TimeoutError):
        node.lab.ask_udp("out", NODE_IP, NODE_PORT, sock)
    assert node.lab.ask_tcp("pod1", NODE_IP, NODE_PORT)[0] == "pod3"  # pods are not outside


def test_the_internal_local_policy_stays_on_the_node(node: Programmed) -> None:
    local, remote = make_slice(PODS["pod2"]), make_slice(PODS["pod3"], node_name="node-2", suffix="b")
    node.program(make_service(internal_traffic_policy="Local"), local, remote)
    assert {node.lab.ask_tcp("pod1")[0] for _ in range(20)} == {"pod2"}


def test_a_udp_client_that_keeps_its_port_leaves_a_dead_endpoint(node: Programmed) -> None:
    node.program(make_service(), make_slice(PODS["pod2"]))
    with contextlib.closing(node.lab.udp_client("pod1")) as sock:
        assert node.lab.ask_udp("pod1", sock=sock)[0] == "pod2"
        node.program(make_service(), make_slice(PODS["pod3"]))
        assert node.lab.ask_udp("pod1", sock=sock)[0] == "pod3"


def test_a_connection_that_knocks_at_a_dead_pod_is_saved_by_the_next_rules(node: Programmed) -> None:
    node.program(make_service(node_port=True), make_slice(SILENT_IP))
    with ThreadPoolExecutor(2) as pool:
        answers = [
            pool.submit(node.lab.ask_tcp, "out", NODE_IP, NODE_PORT, timeout_s=20.0),
            pool.submit(node.lab.ask_tcp, "pod1", timeout_s=20.0),
        ]
        node.lab.wait_for_knocks("node", SILENT_IP, 2)
        node.program(make_service(node_port=True), make_slice(PODS["pod2"]))
        assert [answer.result()[0] for answer in answers] == ["pod2", "pod2"]


def test_a_udp_client_finds_the_first_endpoint_of_a_service(node: Programmed) -> None:
    """Before the service has rules, its datagrams make an untranslated flow; that flow must be forgotten."""
    node.program(make_service(node_port=True), make_slice(PODS["pod3"]))  # so that conntrack is at work
    node.program(None)
    with contextlib.closing(node.lab.udp_client("node", timeout_s=0.2)) as sock:
        with pytest.raises(OSError):  # a time-out, or the network says that nobody is there
            node.lab.ask_udp("node", sock=sock)
        sock.settimeout(3)
        node.program(make_service(), make_slice(PODS["pod2"]))
        answer: list[str] = []
        with contextlib.suppress(OSError):  # the error of the first datagram may still be waiting
            answer = node.lab.ask_udp("node", sock=sock)
        assert (answer or node.lab.ask_udp("node", sock=sock))[0] == "pod2"


def test_no_connection_fails_while_rules_are_rewritten(node: Programmed) -> None:
    node.program(make_service(), make_slice(*ALL))
    stop = threading.Event()
    failures: list[BaseException] = []
    done = Counter[str]()

    def connect() -> None:
        while not stop.is_set():
            try:
                with socket.create_connection((CLUSTER_IP, 80), 3) as sock:
                    done[sock.recv(100).decode().split()[0]] += 1
            except OSError as error:
                failures.append(error)

    thread = threading.Thread(target=node.lab.on, args=("pod1", connect))
    thread.start()
    try:
        for round_ in range(40):
            chosen = ALL if round_ % 2 else ALL[:2]
            node.program(make_service(node_port=bool(round_ % 3)), make_slice(*chosen))
    finally:
        stop.set()
        thread.join(10)
    assert not failures
    assert sum(done.values()) > 40
