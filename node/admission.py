"""Whether this node takes a pod that was bound to it: the node's own last word after the scheduler's. Pure.

The scheduler may have decided on old knowledge, or been bypassed; a pod that does not fit fails at once, with a reason,
and its controller makes another.
"""

from collections.abc import Iterable, Mapping

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.model import Quantity
from master.api.quantity import milli
from node.hostports import collide, held_ports
from node.resources import pod_requests


def refusal(
    pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, Quantity], node: Node | None
) -> tuple[str, str] | None:
    """Reason and message, or None when the pod is welcome. `others` are the active pods admitted before it."""
    admitted = list(others)
    if node is not None:
        labels = node.metadata.labels
        if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
            return "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    if collide(held_ports(pod), [port for other in admitted for port in held_ports(other)]):
        return "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    return _too_large(pod, admitted, allocatable)


def _too_large(pod: Pod, admitted: list[Pod], allocatable: Mapping[str, Quantity]) -> tuple[str, str] | None:
    limit = milli(allocatable.get("pods", 0)) // 1000
    if limit and len(admitted) >= limit:
        message = f"Node didn't have enough resource: pods, requested: 1, used: {len(admitted)}, capacity: {limit}"
        return "OutOfpods", message
    used: dict[str, int] = {}
    for other in admitted:
        for name, amount in pod_requests(other).items():
            used[name] = used.get(name, 0) + amount
    for name, amount in sorted(pod_requests(pod).items()):
        capacity = milli(allocatable[name]) if name in allocatable else 0
        if amount > 0 and used.get(name, 0) + amount > capacity:
            scale = 1 if name == "cpu" else 1000
            message = (
                f"Node didn't have enough resource: {name}, requested: {amount // scale}, "
                f"used: {used.get(name, 0) // scale}, capacity: {capacity // scale}"
            )
            return f"OutOf{name}", message
    return None
