"""Short ways to write nodes and pods in scheduler tests."""

import itertools
from typing import Any

from master.api.core.container import Container, ContainerPort, ResourceRequirements
from master.api.core.node import Node, NodeSpec, NodeStatus, Taint
from master.api.core.pod import Pod, PodSpec
from master.api.meta import ObjectMeta, OwnerReference
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import NodeTable

_uids = itertools.count(1)


def node(
    name: str,
    cpu: str = "2",
    memory: str = "4Gi",
    pods: int = 10,
    taints: tuple[Taint, ...] = (),
    unschedulable: bool = False,
    **labels: str,
) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels={key.replace("__", "/"): value for key, value in labels.items()}),
        spec=NodeSpec(taints=list(taints), unschedulable=unschedulable),
        status=NodeStatus(allocatable={"cpu": cpu, "memory": memory, "pods": str(pods)}),
    )


def pod(name: str = "web", cpu: str = "", memory: str = "", owner: str = "", host_port: int = 0, **spec: Any) -> Pod:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    ports = [ContainerPort(container_port=80, host_port=host_port)] if host_port else []
    container = Container(name="c", resources=ResourceRequirements(requests=requests), ports=ports)
    owners = (
        [OwnerReference(api_version="apps/v1", kind="ReplicaSet", name=owner, uid=owner, controller=True)]
        if owner
        else []
    )
    meta = ObjectMeta(name=name, namespace="default", uid=f"pod-{next(_uids)}", owner_references=owners)
    return Pod(metadata=meta, spec=PodSpec(containers=[container], **spec))


def info(*args: Any, **kwargs: Any) -> PodInfo:
    return PodInfo(pod(*args, **kwargs))


def table(*nodes: Node) -> NodeTable:
    found = NodeTable()
    for each in nodes:
        found.put_node(each)
    return found
