"""Which flows are stale, as a function; and that no bytes upset the parser."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proxy.conntrack import Flow, Frontends, frontends_of, parse_flow, stale_flows, with_removed
from proxy.model import Endpoint, PortMapping

NODE = "10.90.0.11"
DNS = PortMapping(
    namespace="ns",
    service="dns",
    protocol="udp",
    cluster_ip="10.96.0.9",
    port=53,
    node_port=30_053,
    cluster_endpoints=(Endpoint("10.91.1.1", 5353),),
)


def test_a_flow_answered_by_an_endpoint_stays() -> None:
    flow = Flow("udp", ("10.96.0.9", 53), ("10.91.1.1", 5353))
    assert stale_flows([flow], frontends_of([DNS]), NODE) == []


def test_a_flow_answered_by_a_former_endpoint_goes() -> None:
    flows = [Flow("udp", ("10.96.0.9", 53), ("10.91.1.2", 5353)), Flow("udp", (NODE, 30_053), ("10.91.1.2", 5353))]
    assert stale_flows(flows, frontends_of([DNS]), NODE) == flows


def test_an_untranslated_flow_to_a_service_goes() -> None:
    flow = Flow("udp", ("10.96.0.9", 53), ("10.96.0.9", 53))
    assert stale_flows([flow], frontends_of([DNS]), NODE) == [flow]


def test_flows_that_concern_no_service_stay() -> None:
    flows = [
        Flow("udp", ("198.51.100.1", 53), ("198.51.100.1", 53)),
        Flow("udp", ("198.51.100.1", 30_053), ("198.51.100.1", 30_053)),
    ]
    assert stale_flows(flows, frontends_of([DNS]), NODE) == []


def test_flows_of_a_removed_service_go() -> None:
    flow = Flow("udp", ("10.96.0.9", 53), ("10.91.1.1", 5353))
    removed = with_removed(Frontends({}, {}), frontends_of([DNS]))
    assert stale_flows([flow], removed, NODE) == [flow]


def test_a_knock_at_a_dead_tcp_endpoint_goes_and_an_answered_connection_stays() -> None:
    web = msgspec.structs.replace(DNS, protocol="tcp")
    knock = Flow("tcp", ("10.96.0.9", 53), ("10.91.1.2", 5353))
    answered = Flow("tcp", ("10.96.0.9", 53), ("10.91.1.2", 5353), is_answered=True)
    assert stale_flows([knock, answered], frontends_of([web]), NODE) == [knock]
    assert stale_flows([knock], frontends_of([DNS]), NODE) == [], "the UDP service of the same port is another front"


@given(st.binary(max_size=200))
def test_no_bytes_upset_the_parser(data: bytes) -> None:
    parse_flow(data)
