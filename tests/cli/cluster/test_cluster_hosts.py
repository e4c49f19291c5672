"""Hosts on the fabric: they reach each other, their power can be cut, and nothing of them stays."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chaos import cgroups
from cli.cluster import fabric, hosts
from cli.cluster.hostspec import HostSpec, Process
from cli.cluster.layout import Layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(name="hosttest", masters=1, nodes=1, second_octet=60, state_root=str(tmp_path))
    try:
        yield layout
    finally:
        for host in layout.hosts:
            hosts.power_off(layout, host.name)
        assert hosts.remove_traces(layout) == []
        assert not list(fabric.NETNS_DIR.glob(f"{layout.prefix}-*"))
        assert not Path(f"/sys/class/net/{layout.root_link}").exists()


def write_spec(layout: Layout, name: str) -> None:
    layout.etc(name).mkdir(parents=True)
    spec = HostSpec(name, [Process("sleep", SLEEP)], str(layout.logs(name)), str(layout.run(name)))
    hosts.spec_file(layout, name).write_bytes(msgspec.json.encode(spec))


def started(layout: Layout, name: str) -> bool:
    state = hosts.state_of(layout, name)
    return state is not None and all(process.pid for process in state.processes)


def test_hosts_reach_each_other_and_the_machine(layout: Layout) -> None:
    fabric.create(layout)
    for host in layout.hosts:
        fabric.plug(layout, host)
    node = layout.netns("node-1")
    for target in (layout.host("master-1").address, layout.gateway_address):
        fabric.in_netns(node, ["ping", "-c1", "-W2", target]) if _has_ping() else _connect(node, target)


def _has_ping() -> bool:
    return subprocess.run(["which", "ping"], capture_output=True).returncode == 0


def _connect(netns: str, target: str) -> None:
    """A refused connection proves that the target answers."""
    code = f"import socket\ntry: socket.create_connection(({target!r}, 9), 3)\nexcept ConnectionRefusedError: pass"
    fabric.in_netns(netns, [sys.executable, "-c", code])


def test_power_off_ends_everything_even_when_frozen(layout: Layout) -> None:
    write_spec(layout, "node-1")
    assert hosts.power_on(layout, "node-1")
    assert hosts._wait_until(lambda: started(layout, "node-1"), 20)
    assert not hosts.power_on(layout, "node-1"), "a running host is left alone"
    cgroup = layout.cgroup("node-1")
    cgroups.freeze(cgroup)
    assert cgroups.is_frozen(cgroup)
    assert cgroups.pids(cgroup)
    hosts.power_off(layout, "node-1")
    assert not cgroups.pids(cgroup)
    assert not hosts.is_running(layout, "node-1")


def test_a_host_whose_supervisor_was_killed_starts_again(layout: Layout) -> None:
    write_spec(layout, "node-1")
    hosts.power_on(layout, "node-1")
    assert hosts._wait_until(lambda: started(layout, "node-1"), 20)
    state = hosts.state_of(layout, "node-1")
    assert state is not None
    os.kill(state.pid, 9)
    assert hosts._wait_until(lambda: not hosts.is_running(layout, "node-1"), 20)
    assert hosts.power_on(layout, "node-1")
    assert hosts._wait_until(lambda: started(layout, "node-1"), 20)
    assert state.processes[0].pid not in cgroups.pids(layout.cgroup("node-1"))


def test_a_host_can_be_unplugged_and_plugged_in_quick_succession(layout: Layout) -> None:
    fabric.create(layout)
    host = layout.host("node-1")
    for _ in range(5):
        fabric.plug(layout, host)
        fabric.unplug(layout, host)
    fabric.plug(layout, host)
    _connect(layout.netns("node-1"), layout.gateway_address)
