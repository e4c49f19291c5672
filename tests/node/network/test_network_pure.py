"""Address allocation, route plans and CNI documents: the pure parts of the pod network."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.network import ipam
from node.network.base import NetworkError
from node.network.bridge import veth_name
from node.network.cni import as_list, default_conflist, plugin_config, pod_network, with_pod_cidr
from node.network.routes import plan_routes

CIDR = "10.91.7.0/28"
names = st.text("abcdef", min_size=1, max_size=3)
cidrs = st.integers(0, 5).map(lambda n: f"10.91.{n}.0/24")
gateways = st.integers(11, 14).map(lambda n: f"10.90.0.{n}")


@given(st.lists(st.tuples(st.booleans(), names), max_size=60))
def test_no_two_sandboxes_ever_share_an_address(steps: list[tuple[bool, str]]) -> None:
    state = ipam.with_cidr(ipam.Reservations(), CIDR)
    for is_attach, name in steps:
        before = state
        try:
            state = ipam.reserve(state, name) if is_attach else ipam.release(state, [name])
        except NetworkError:
            assert len(before.by_sandbox) == 13  # 16 less network, gateway and broadcast
            continue
        addresses = list(state.by_sandbox.values())
        assert len(addresses) == len(set(addresses))
        assert all(ipaddress.IPv4Address(a) in ipaddress.IPv4Network(CIDR) for a in addresses)
        assert not {"10.91.7.0", "10.91.7.1", "10.91.7.15"} & set(addresses)
        assert all(state.by_sandbox[n] == a for n, a in before.by_sandbox.items() if n in state.by_sandbox)


def test_an_address_just_released_is_not_given_to_the_next_pod() -> None:
    state = ipam.reserve(ipam.with_cidr(ipam.Reservations(), CIDR), "one")
    released = ipam.release(state, ["one"])
    assert ipam.reserve(released, "two").by_sandbox["two"] != state.by_sandbox["one"]


def test_a_torn_reservation_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "ipam.json"
    path.write_bytes(b'{"cidr": "10.9')
    assert ipam.IpamFile(path).state == ipam.Reservations()


@given(st.dictionaries(cidrs, gateways), st.dictionaries(cidrs, gateways))
def test_a_route_plan_leads_from_what_is_to_what_is_wanted(current: dict[str, str], wanted: dict[str, str]) -> None:
    table = dict(current)
    for line in plan_routes(current, wanted):
        _, verb, cidr, _, via, *_ = line.split()
        if verb == "del":
            assert table.pop(cidr) == via
        else:
            table[cidr] = via
    assert table == wanted
    assert plan_routes(wanted, wanted) == []


@given(st.text(min_size=1))
def test_veth_names_fit_the_kernel(sandbox_id: str) -> None:
    assert len(veth_name(sandbox_id)) <= 15


def test_the_pod_cidr_is_put_where_a_plugin_asks_for_it() -> None:
    network = with_pod_cidr(default_conflist(Path("/state")), CIDR)
    assert network["plugins"][0]["ipam"]["ranges"] == [[{"subnet": CIDR}]]


def test_a_single_plugin_becomes_a_chain_of_one() -> None:
    network = as_list({"cniVersion": "0.4.0", "name": "n", "type": "ptp"})
    assert [plugin["type"] for plugin in network["plugins"]] == ["ptp"]
    config = plugin_config(network, network["plugins"][0], {"ips": []})
    assert (config["name"], config["cniVersion"], config["prevResult"]) == ("n", "0.4.0", {"ips": []})


def test_the_first_ipv4_address_of_a_result_is_the_pods() -> None:
    assert pod_network({"ips": [{"address": "fd00::2/64"}, {"address": "10.1.0.2/24", "gateway": "10.1.0.1"}]}).ip == (
        "10.1.0.2"
    )
    with pytest.raises(NetworkError):
        pod_network({"ips": []})
