"""Host ports, with real rules: from the node, from a neighbour and from the pod itself, and gone with the pod."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.core.pod import Pod
from node.engine.base import SandboxState
from node.hostports import collide, port_mappings
from node.network.bridge import BridgeNetwork
from node.network.hostports import HostPorts, PortMapping, Published, restore_text

CIDR = "10.91.7.0/24"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SandboxFactory = Callable[[str], SandboxState]
Serve = Callable[[SandboxState, int], None]
TCP = PortMapping("TCP", "", 8080, 80)

mappings = st.builds(
    PortMapping,
    protocol=st.sampled_from(["TCP", "UDP"]),
    host_ip=st.sampled_from(["", "0.0.0.0", "127.0.0.1", "10.0.0.1"]),
    host_port=st.sampled_from([80, 81]),
    container_port=st.just(80),
)


def reaches(target: str, port: int, netns: str = "") -> bool:
    script = f"exec 3<>/dev/tcp/{target}/{port} && head -c 2 <&3"
    argv = ["nsenter", f"--net={netns}"] if netns else []
    done = subprocess.run([*argv, "timeout", "3", "bash", "-c", script], capture_output=True)
    return done.stdout == b"ok"


def rules() -> str:
    return subprocess.run(["iptables-legacy-save"], capture_output=True, text=True).stdout


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server in a sandbox that says ok."""
    processes: list[subprocess.Popen[bytes]] = []
    script = (
        "import socket, sys\n"
        "s = socket.create_server(('', int(sys.argv[1])))\n"
        "print(flush=True)\n"
        "while True:\n"
        "    s.accept()[0].sendall(b'ok')\n"
    )

    def start(sandbox: SandboxState, port: int) -> None:
        argv = ["nsenter", f"--net={sandbox.netns}", "python3", "-c", script, str(port)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None and process.stdout.readline()

    yield start
    for process in processes:
        process.kill()
        process.wait()


@needs_root
def test_a_host_port_leads_into_the_pod_from_everywhere_and_goes_with_it(
    sandbox: SandboxFactory, serve: Serve, state_dir: Path
) -> None:
    async def scenario() -> None:
        network, ports = BridgeNetwork(state_dir, "10.91.0.0/16"), HostPorts(state_dir)
        await network.setup(CIDR)
        pod, neighbour = sandbox("pod-1"), sandbox("pod-2")
        address, _ = (await network.attach(pod)).ip, await network.attach(neighbour)
        serve(pod, 80)
        await ports.publish(pod.id, address, [TCP, PortMapping("TCP", "127.0.0.1", 8081, 80)])
        await ports.publish(pod.id, address, [TCP, PortMapping("TCP", "127.0.0.1", 8081, 80)])
        gateway = "10.91.7.1"
        for target, port, netns in (
            ("127.0.0.1", 8080, ""),
            ("127.0.0.1", 8081, ""),
            (gateway, 8080, ""),
            (gateway, 8080, neighbour.netns),
            (gateway, 8080, pod.netns),
        ):
            assert await asyncio.to_thread(reaches, target, port, netns), (target, port, netns)
        assert not reaches(gateway, 8081)
        later = HostPorts(state_dir)
        await later.reconcile([pod.id])
        assert reaches(gateway, 8080)
        await later.withdraw(pod.id)
        await later.withdraw(pod.id)
        assert not reaches(gateway, 8080)
        await ports.publish(neighbour.id, address, [TCP])
        await HostPorts(state_dir).reconcile([])
        assert not reaches(gateway, 8080)
        await ports.teardown()
        await network.teardown()
        assert "TIMONIER" not in rules()

    asyncio.run(scenario())


def test_exact_addresses_come_before_any_address() -> None:
    text = restore_text(
        {"a": Published("10.0.0.2", [TCP]), "b": Published("10.0.0.3", [PortMapping("TCP", "10.9.9.9", 8080, 80)])}
    )
    forward = [line for line in text.splitlines() if "DNAT" in line]
    assert forward == [
        "-A TIMONIER-HOSTPORTS -d 10.9.9.9/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.3:80",
        "-A TIMONIER-HOSTPORTS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:80",
    ]


@given(mappings, mappings)
def test_collisions_are_mutual_and_never_between_protocols_or_addresses(one: PortMapping, other: PortMapping) -> None:
    assert collide([one], [other]) == collide([other], [one])
    assert collide([one], [one])
    if one.protocol != other.protocol or one.host_port != other.host_port:
        assert not collide([one], [other])
    elif "" in (one.host_ip, other.host_ip):
        assert collide([one], [other])
    elif {one.host_ip, other.host_ip} == {"127.0.0.1", "10.0.0.1"}:
        assert not collide([one], [other])


def test_only_pods_with_a_network_of_their_own_need_a_way_in() -> None:
    container = {"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}
    spec = {"containers": [container], "initContainers": [{**container, "name": "i"}]}
    assert port_mappings(msgspec.convert({"spec": spec}, Pod)) == [PortMapping("TCP", "", 8080, 80)]
    assert port_mappings(msgspec.convert({"spec": {**spec, "hostNetwork": True}}, Pod)) == []
