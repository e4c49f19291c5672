"""Which endpoints serve a port: readiness, termination, locality, and what is left out."""

from proxy_lab import CLUSTER_IP, make_service, make_slice

from master.api.core.service import ClientIPConfig, LoadBalancerIngress, SessionAffinityConfig
from proxy.model import DEFAULT_AFFINITY_S, Endpoint, PortMapping, mappings_of


def only(mappings: tuple[PortMapping, ...]) -> PortMapping:
    assert len(mappings) == 1
    return mappings[0]


def tcp(slices: list[object], **spec: object) -> PortMapping:
    return only(mappings_of(make_service(protocols=("TCP",), **spec), slices, "node-1"))  # type: ignore[arg-type]


def ips(endpoints: tuple[Endpoint, ...]) -> list[str]:
    return [e.ip for e in endpoints]


def test_only_ready_endpoints_serve() -> None:
    mapping = tcp([make_slice("10.91.1.1"), make_slice("10.91.1.2", ready=False, suffix="b")])
    assert ips(mapping.endpoints) == ["10.91.1.1"]


def test_an_unknown_readiness_counts_as_ready() -> None:
    assert ips(tcp([make_slice("10.91.1.1", ready=None)]).endpoints) == ["10.91.1.1"]


def test_terminating_endpoints_that_serve_are_the_last_resort() -> None:
    draining = make_slice("10.91.1.2", ready=False, serving=True, terminating=True, suffix="b")
    assert ips(tcp([draining]).endpoints) == ["10.91.1.2"]
    assert ips(tcp([draining, make_slice("10.91.1.1")]).endpoints) == ["10.91.1.1"]


def test_headless_external_name_and_locally_served_services_have_no_rules() -> None:
    assert mappings_of(make_service(cluster_ip="None"), [], "node-1") == ()
    assert mappings_of(make_service(cluster_ip="", type="ExternalName"), [], "node-1") == ()
    assert mappings_of(make_service(), [], "node-1", frozenset({CLUSTER_IP})) == ()


def test_a_port_takes_the_number_of_the_slice_port_of_its_name_and_protocol() -> None:
    slice_ = make_slice("10.91.1.1")
    slice_.ports[0].port, slice_.ports[1].port = 7001, 7002
    mappings = mappings_of(make_service(), [slice_], "node-1")
    assert [(m.protocol, m.endpoints[0].port) for m in mappings] == [("tcp", 7001), ("udp", 7002)]


def test_local_policies_choose_among_endpoints_of_this_node() -> None:
    here, there = make_slice("10.91.1.1"), make_slice("10.91.2.1", node_name="node-2", suffix="b")
    mapping = tcp([here, there], internal_traffic_policy="Local", external_traffic_policy="Cluster")
    assert ips(mapping.internal_endpoints) == ["10.91.1.1"]
    assert ips(mapping.external_endpoints) == ["10.91.1.1", "10.91.2.1"]


def test_ipv6_slices_and_addresses_are_left_alone() -> None:
    slice_ = make_slice("10.91.1.1")
    slice_.address_type = "IPv6"
    assert tcp([slice_], external_ips=["192.0.2.1", "2001:db8::1"]).endpoints == ()
    assert tcp([slice_], external_ips=["192.0.2.1", "2001:db8::1"]).external_ips == ("192.0.2.1",)


def test_the_same_endpoint_in_two_slices_counts_once() -> None:
    assert ips(tcp([make_slice("10.91.1.1"), make_slice("10.91.1.1", suffix="b")]).endpoints) == ["10.91.1.1"]


def test_affinity_has_the_given_or_the_default_timeout() -> None:
    assert tcp([]).affinity_s == 0
    assert tcp([], session_affinity="ClientIP").affinity_s == DEFAULT_AFFINITY_S
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=30))
    assert tcp([], session_affinity="ClientIP", session_affinity_config=config).affinity_s == 30


def test_load_balancer_addresses_in_proxy_mode_are_not_short_cut() -> None:
    service = make_service(protocols=("TCP",), type="LoadBalancer")
    service.status.load_balancer.ingress = [
        LoadBalancerIngress(ip="192.0.2.7"),
        LoadBalancerIngress(ip="192.0.2.8", ip_mode="Proxy"),
    ]
    assert only(mappings_of(service, [], "node-1")).load_balancer_ips == ("192.0.2.7",)


def test_what_is_no_address_is_left_out_instead_of_stopping_all_rules() -> None:
    mapping = tcp([make_slice("10.91.1.1", "nonsense", "10.1")], external_ips=["x", "192.0.2.1"])
    assert ips(mapping.endpoints) == ["10.91.1.1"] and mapping.external_ips == ("192.0.2.1",)
    assert mappings_of(make_service(cluster_ip="nonsense"), [], "node-1") == ()
