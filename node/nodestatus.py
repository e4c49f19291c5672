"""The Node object's status and labels as this kubelet sees them. Pure."""

from collections.abc import Iterable

import msgspec

from master.api.core.node import (
    ContainerImage,
    DaemonEndpoint,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeStatus,
    Taint,
)
from master.api.timestamps import now_rfc3339
from node.config import NodeConfig
from node.engine.base import ImageInfo
from node.nodeinfo import Machine, Pressure, allocatable, architecture, capacity

MAX_IMAGES = 50
"""The largest ones; the kubelet's own bound."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What decides over Ready; an empty text means that all is well."""

    engine_error: str = ""
    network_error: str = ""


def node_labels(config: NodeConfig) -> dict[str, str]:
    return {
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": architecture(),
        **config.labels,
    }


def parse_taint(text: str) -> Taint:
    """`key=value:Effect` or `key:Effect`."""
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise ValueError(f"not a taint: {text!r}")
    return Taint(key=key, value=value, effect=effect)


def node_status(
    config: NodeConfig,
    machine: Machine,
    pressure: Pressure,
    health: Health,
    images: Iterable[ImageInfo],
    engine_version: str,
    before: NodeStatus,
    now_s: float,
) -> NodeStatus:
    """What the kubelet does not own (conditions of others, attached volumes) is taken over from `before`."""
    info = msgspec.structs.replace(machine.info, container_runtime_version=engine_version or "unknown://0")
    return msgspec.structs.replace(
        before,
        capacity=capacity(machine, config.max_pods),
        allocatable=allocatable(machine, config.max_pods),
        conditions=_conditions(pressure, health, before.conditions, now_s),
        addresses=[
            NodeAddress(type="InternalIP", address=config.address),
            NodeAddress(type="Hostname", address=config.node_name),
        ],
        daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=config.port)),
        node_info=info,
        images=_images(images),
    )


def _conditions(pressure: Pressure, health: Health, before: list[NodeCondition], now_s: float) -> list[NodeCondition]:
    ready_error = health.engine_error or health.network_error
    computed = [
        _pressure("MemoryPressure", pressure.memory, ("InsufficientMemory", "SufficientMemory"), "memory available"),
        _pressure("DiskPressure", pressure.disk, ("DiskPressure", "NoDiskPressure"), "no disk pressure"),
        _pressure("PIDPressure", pressure.pid, ("InsufficientPID", "SufficientPID"), "PID available"),
        NodeCondition(
            type="Ready",
            status="False" if ready_error else "True",
            reason="KubeletNotReady" if ready_error else "KubeletReady",
            message=ready_error or "kubelet is posting ready status",
        ),
    ]
    known = {condition.type: condition for condition in before}
    now = now_rfc3339(now_s)
    for condition in computed:
        old = known.pop(condition.type, None)
        condition.last_heartbeat_time = now
        same = old is not None and old.status == condition.status and old.last_transition_time
        condition.last_transition_time = old.last_transition_time if old is not None and same else now
    return [*known.values(), *computed]


def _pressure(type: str, short: bool, reasons: tuple[str, str], fine: str) -> NodeCondition:
    """`reasons` for when it runs short and for when it does not."""
    if short:
        message = f"kubelet has {'disk pressure' if type == 'DiskPressure' else 'insufficient ' + fine}"
        return NodeCondition(type=type, status="True", reason=f"KubeletHas{reasons[0]}", message=message)
    message = f"kubelet has {fine if type == 'DiskPressure' else 'sufficient ' + fine}"
    return NodeCondition(type=type, status="False", reason=f"KubeletHas{reasons[1]}", message=message)


def _images(images: Iterable[ImageInfo]) -> list[ContainerImage]:
    largest = sorted(images, key=lambda image: image.size_bytes, reverse=True)[:MAX_IMAGES]
    return [ContainerImage(names=[*image.digests, *image.tags][:5], size_bytes=image.size_bytes) for image in largest]


def materially_equal(one: NodeStatus, other: NodeStatus) -> bool:
    """Equal but for heartbeats: then the API need not be told until the next full report is due."""
    return _without_heartbeats(one) == _without_heartbeats(other)


def _without_heartbeats(status: NodeStatus) -> NodeStatus:
    quiet = [msgspec.structs.replace(condition, last_heartbeat_time=None) for condition in status.conditions]
    return msgspec.structs.replace(status, conditions=quiet)
