"""What every pod network must do, checked on each with real namespaces, veths, routes and rules."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from node.engine.base import SandboxState
from node.network.base import Network, NetworkError, NetworkNotReady
from node.network.bridge import BridgeNetwork
from node.network.cni import CniNetwork

PLUGINS = "/usr/lib/cni"
CLUSTER = "10.91.0.0/16"
CIDR = "10.91.7.0/24"
DEADLINE_S = 10.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SandboxFactory = Callable[[str], SandboxState]
NetworkFactory = Callable[[], Network]


@pytest.fixture(params=["bridge", "cni"])
def new_network(request: pytest.FixtureRequest, state_dir: Path) -> NetworkFactory:
    if request.param == "bridge":
        return lambda: BridgeNetwork(state_dir, CLUSTER)
    if not Path(PLUGINS, "bridge").exists():
        pytest.skip("no CNI plugins on this machine")
    return lambda: CniNetwork(state_dir, CLUSTER, plugin_dir=PLUGINS)


def run(*argv: str, netns: str = "") -> str:
    argv = ("nsenter", f"--net={netns}", *argv) if netns else argv
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def pings(target: str, netns: str = "") -> bool:
    """A bridge port forwards a moment after it is up."""
    argv = ["busybox", "ping", "-c", "1", "-W", "1", target]
    argv = ["nsenter", f"--net={netns}", *argv] if netns else argv
    deadline = time.monotonic() + DEADLINE_S
    while subprocess.run(argv, capture_output=True).returncode != 0:
        if time.monotonic() > deadline:
            return False
    return True


def veths() -> int:
    """veth ends in the node's namespace; the kernel removes those of dead namespaces a moment later."""
    return run("ip", "-o", "link", "show", "type", "veth").count("\n")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"


def test_pods_have_addresses_of_their_own_and_reach_each_other_and_the_node(
    new_network: NetworkFactory, sandbox: SandboxFactory
) -> None:
    async def scenario() -> None:
        network = new_network()
        await network.setup(CIDR)
        one, two = sandbox("pod-1"), sandbox("pod-2")
        first, second = await asyncio.gather(network.attach(one), network.attach(two))
        assert first.ip != second.ip
        assert first.gateway == second.gateway == "10.91.7.1"
        assert {first.ip.rpartition(".")[0], second.ip.rpartition(".")[0]} == {"10.91.7"}
        assert pings(second.ip, one.netns)
        assert pings(first.gateway, one.netns)
        assert pings("127.0.0.1", one.netns)
        assert pings(first.ip)

    asyncio.run(scenario())


def test_attaching_again_gives_the_same_address_even_after_a_restart(
    new_network: NetworkFactory, sandbox: SandboxFactory
) -> None:
    async def scenario() -> None:
        network = new_network()
        await network.setup(CIDR)
        pod = sandbox("pod-1")
        first = await network.attach(pod)
        assert await network.attach(pod) == first
        restarted = new_network()
        await restarted.setup(CIDR)
        assert await restarted.attach(pod) == first
        assert (await restarted.attach(sandbox("pod-2"))).ip != first.ip
        assert pings(first.ip)

    asyncio.run(scenario())


def test_detach_takes_everything_back_and_may_be_repeated(new_network: NetworkFactory, sandbox: SandboxFactory) -> None:
    async def scenario() -> None:
        network = new_network()
        await network.setup(CIDR)
        pod = sandbox("pod-1")
        await network.attach(pod)
        assert veths() == 1
        await network.detach(pod.id)
        await network.detach(pod.id)
        await network.detach("never-attached")
        wait_for(lambda: veths() == 0)
        assert pings((await network.attach(pod)).ip)

    asyncio.run(scenario())


def test_reconcile_releases_what_a_crash_left(new_network: NetworkFactory, sandbox: SandboxFactory) -> None:
    async def scenario() -> None:
        network = new_network()
        await network.setup("10.91.7.0/29")  # room for five pods
        kept = sandbox("pod-0")
        address = await network.attach(kept)
        for number in range(1, 5):
            await network.attach(sandbox(f"pod-{number}"))
        with pytest.raises(NetworkError):
            await network.attach(sandbox("pod-5"))
        restarted = new_network()
        await restarted.setup("10.91.7.0/29")
        await restarted.reconcile([kept.id])
        wait_for(lambda: veths() == 1)
        assert await restarted.attach(kept) == address
        for number in range(6, 10):
            await restarted.attach(sandbox(f"pod-{number}"))

    asyncio.run(scenario())


def test_nothing_is_attached_before_the_node_has_a_pod_cidr(
    new_network: NetworkFactory, sandbox: SandboxFactory
) -> None:
    with pytest.raises(NetworkNotReady):
        asyncio.run(new_network().attach(sandbox("pod-1")))


def test_a_sandbox_in_the_nodes_own_network_is_refused(new_network: NetworkFactory, node_netns: None) -> None:
    async def scenario() -> None:
        network = new_network()
        await network.setup(CIDR)
        host = SandboxState(
            id="h", pod_uid="h", name="h", namespace="default", attempt=0, running=True, pid=os.getpid()
        )
        with pytest.raises(NetworkError):
            await network.attach(host)

    asyncio.run(scenario())


def test_the_node_forwards_and_masquerades_what_leaves_the_cluster(
    new_network: NetworkFactory, sandbox: SandboxFactory
) -> None:
    """An outside host that has no route to pods can answer them: it sees the node."""

    async def scenario() -> None:
        outside = sandbox("outside")
        run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", str(outside.pid))
        run("ip", "addr", "add", "10.99.0.1/24", "dev", "up0")
        run("ip", "link", "set", "up0", "up")
        run("ip", "addr", "add", "10.99.0.2/24", "dev", "eth0", netns=outside.netns)
        run("ip", "link", "set", "eth0", "up", netns=outside.netns)
        network = new_network()
        await network.setup(CIDR)
        await network.setup(CIDR)
        pod = sandbox("pod-1")
        await network.attach(pod)
        assert pings("10.99.0.2", pod.netns)
        rules = run("iptables-legacy", "-t", "nat", "-S")
        assert rules.count("MASQUERADE") == 1
        assert f"-s {CIDR} ! -d {CLUSTER}" in rules
        assert Path("/proc/sys/net/bridge/bridge-nf-call-iptables").read_text().strip() == "1"

    asyncio.run(scenario())


def test_routes_follow_the_other_nodes_and_foreign_routes_stay(new_network: NetworkFactory, node_netns: None) -> None:
    async def scenario() -> None:
        for line in ("link add up0 type bridge", "addr add 10.90.0.11/16 dev up0", "link set up0 up"):
            run("ip", *line.split())
        run("ip", "route", "add", "10.92.0.0/24", "via", "10.90.0.99")
        network = new_network()
        await network.setup(CIDR)
        await network.sync_routes({"10.91.2.0/24": "10.90.0.12", "10.91.3.0/24": "10.90.0.13", CIDR: "10.90.0.11"})
        shown = run("ip", "route")
        assert "10.91.2.0/24 via 10.90.0.12" in shown
        assert "10.91.3.0/24 via 10.90.0.13" in shown
        assert f"{CIDR} via" not in shown
        await network.sync_routes({"10.91.2.0/24": "10.90.0.14"})
        shown = run("ip", "route")
        assert "10.91.2.0/24 via 10.90.0.14" in shown
        assert "10.91.3.0/24" not in shown
        with pytest.raises(NetworkError):  # a gateway that cannot be reached is told, the others are set
            await network.sync_routes({"10.91.4.0/24": "192.0.2.1", "10.91.5.0/24": "10.90.0.15"})
        shown = run("ip", "route")
        assert "10.91.5.0/24 via 10.90.0.15" in shown
        assert "10.92.0.0/24 via 10.90.0.99" in shown

    asyncio.run(scenario())


def test_teardown_leaves_nothing(new_network: NetworkFactory, sandbox: SandboxFactory) -> None:
    async def scenario() -> None:
        links, routes = run("ip", "-o", "link"), run("ip", "route")
        network = new_network()
        await network.setup(CIDR)
        await network.attach(sandbox("pod-1"))
        await network.teardown()
        wait_for(lambda: veths() == 0)
        assert run("ip", "-o", "link") == links
        assert run("ip", "route") == routes
        assert "MASQ" not in run("iptables-legacy", "-t", "nat", "-S")
        with contextlib.suppress(NetworkError):
            await network.teardown()

    asyncio.run(scenario())
