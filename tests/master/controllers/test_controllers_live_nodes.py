"""Nodes on a real control plane: addresses for pods, silence, taints, eviction, the end of a node."""

import asyncio

from controllers_kubelet import fake_nodes
from controllers_lab import ControlPlane, until
from test_controllers_live_workloads import complete, make_deployment

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.client.rest import RestClient
from master.controllers.nodehealth import UNREACHABLE, ready_status


def test_every_node_gets_a_pod_network_of_its_own(plane: ControlPlane) -> None:
    async def body() -> None:
        names = [f"ip-{number}" for number in range(5)]
        async with plane.namespace("ipam") as client, fake_nodes(client, names, "ipam"):

            async def cidrs() -> set[str] | None:
                nodes = [await client.get(Node, name) for name in names]
                found = {node.spec.pod_cidr for node in nodes if [node.spec.pod_cidr] == node.spec.pod_cidrs}
                return found if len(found) == len(names) and "" not in found else None

            found = await until(cidrs, "five networks")
            assert all(cidr.startswith("10.91.") and cidr.endswith(".0/24") for cidr in found)

    asyncio.run(body())


def test_the_pods_of_a_silent_node_are_replaced_elsewhere_and_end_with_the_node(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("silent") as client, fake_nodes(client, ["n-1", "n-2", "n-3"], "silent") as nodes:
            await make_deployment(client, "silent")
            await complete(client, "silent")
            lost = {pod.metadata.uid for pod in await on_node(client, "n-1")}
            assert lost
            nodes.silence("n-1")

            async def tainted() -> bool:
                node = await client.get(Node, "n-1")
                effects = {taint.effect for taint in node.spec.taints if taint.key == UNREACHABLE}
                return ready_status(node) == "Unknown" and effects == {"NoSchedule", "NoExecute"}

            async def evicted() -> bool:
                pods = (await client.list(Pod, "silent")).items
                gone = [pod for pod in pods if pod.metadata.deletion_timestamp is not None]
                live = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
                return {pod.metadata.uid for pod in gone} == lost and len(live) == 3

            await until(tainted, "taints")
            await until(evicted, "eviction")
            await complete(client, "silent")
            assert all(pod.status.conditions[-1].status for pod in await on_node(client, "n-1"))
            await client.delete(Node, "n-1")

            async def finished() -> bool:
                return not await on_node(client, "n-1")

            await until(finished, "the end of the pods of a deleted node")

    asyncio.run(body())


def test_when_every_node_falls_silent_no_pod_is_evicted(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("deaf") as client, fake_nodes(client, ["d-1", "d-2"], "deaf") as nodes:
            await make_deployment(client, "deaf", replicas=2)
            await complete(client, "deaf")
            nodes.silence("d-1")
            nodes.silence("d-2")

            async def both_unknown_and_only_closed() -> bool:
                found = [await client.get(Node, name) for name in ("d-1", "d-2")]
                effects = {taint.effect for node in found for taint in node.spec.taints}
                return all(ready_status(node) == "Unknown" for node in found) and effects == {"NoSchedule"}

            await until(both_unknown_and_only_closed, "taints that only close the nodes")
            pods = (await client.list(Pod, "deaf")).items
            assert all(pod.metadata.deletion_timestamp is None for pod in pods)

    asyncio.run(body())


async def on_node(client: RestClient, name: str) -> list[Pod]:
    return [pod for pod in (await client.list(Pod)).items if pod.spec.node_name == name]
