"""The local cluster's names, addresses and configuration files agree with each other."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.cluster import hostspec
from cli.cluster.layout import MAX_MASTERS, MAX_NODES, Layout, load, save

layouts = st.builds(
    Layout,
    name=st.sampled_from(["local", "e2e", "a1"]),
    masters=st.integers(1, MAX_MASTERS),
    nodes=st.integers(1, MAX_NODES),
    engine=st.sampled_from(["docker", "embedded"]),
    second_octet=st.integers(1, 94),
)


@given(layouts)
def test_no_two_hosts_share_a_name_or_an_address(layout: Layout) -> None:
    addresses = [host.address for host in layout.hosts] + [layout.gateway_address]
    assert len(set(addresses)) == len(addresses)
    assert len({host.name for host in layout.hosts}) == len(layout.hosts)


@given(layouts)
def test_interface_names_fit_the_kernel(layout: Layout) -> None:
    assert all(len(name) <= 15 for name in [layout.root_link, *(host.name for host in layout.hosts)])


@given(layouts)
def test_every_client_knows_every_master(layout: Layout) -> None:
    for host in layout.hosts:
        for configuration in hostspec.components(layout, host).values():
            if "client" in configuration:
                assert sorted(configuration["client"]["servers"]) == sorted(layout.api_servers)


@given(layouts)
def test_the_engine_of_a_node_listens_where_the_kubelet_looks(layout: Layout) -> None:
    host = layout.node_hosts[0]
    engine = hostspec.host_spec(layout, host).processes[0]
    assert hostspec.components(layout, host)["kubelet"]["engine"]["socket"] in engine.argv


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "No Good"}, "name"),
        ({"masters": 0}, "masters"),
        ({"nodes": 101}, "nodes"),
        ({"second_octet": 96}, "second_octet"),
    ],
)
def test_a_bad_choice_is_refused_by_name(change: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Layout(**change)  # type: ignore[arg-type]


def test_a_saved_layout_is_read_back(tmp_path: Path) -> None:
    layout = Layout(name="saved", nodes=2, state_root=str(tmp_path))
    save(layout)
    assert load("saved", tmp_path) == layout
    assert json.loads(layout.file.read_text())["nodes"] == 2
