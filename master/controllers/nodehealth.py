"""What a node's conditions amount to: taints, and whether pods may be evicted at all. Pure."""

from enum import Enum

import msgspec

from master.api.core.node import Node, NodeCondition, Taint

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"

PRESSURE_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
OWNED = frozenset(
    {(key, NO_SCHEDULE) for key in (NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURE_TAINTS.values())}
    | {(NOT_READY, NO_EXECUTE), (UNREACHABLE, NO_EXECUTE)}
)
"""The taints that follow from the node's state; all others belong to somebody else."""

REPORTED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
NEVER_REPORTED = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
STOPPED_REPORTING = ("NodeStatusUnknown", "Kubelet stopped posting node status.")

UNHEALTHY_SHARE = 0.55
SMALL_CLUSTER = 50
EVICTIONS_PER_S = 1.0
EVICTIONS_PER_S_DISRUPTED = 0.1
"""Nodes whose pods may be told to go, per second. Kubernetes has 0.1 and 0.01; we promise seconds (RELIABILITY §2)."""


class Execute(Enum):
    """What may happen to a node's NoExecute taint now."""

    ALLOW = "allow"
    HOLD = "hold"
    """Not a new one; one that is there stays."""
    CANCEL = "cancel"
    """None at all: if everything seems lost, it is probably us who are cut off."""


def ready_status(node: Node) -> str:
    """True, False or Unknown; a node that has not said anything yet is Unknown."""
    return next((condition.status for condition in node.status.conditions if condition.type == "Ready"), "Unknown")


def eviction_rate(lost: int, total: int) -> float | None:
    """Nodes per second that may begin to lose their pods; 0 means none for now, None: stop what was begun too."""
    if total and lost == total:
        return None
    if lost > 2 and lost / total >= UNHEALTHY_SHARE:
        return 0.0 if total <= SMALL_CLUSTER else EVICTIONS_PER_S_DISRUPTED
    return EVICTIONS_PER_S


def plan_conditions(node: Node, now: str) -> list[NodeCondition]:
    """The conditions of a node that has fallen silent: everything it used to report is Unknown."""
    known = {condition.type: condition for condition in node.status.conditions}
    for kind in REPORTED_CONDITIONS:
        condition = known.get(kind)
        reason, message = NEVER_REPORTED if condition is None else STOPPED_REPORTING
        if condition is None:
            stamp = node.metadata.creation_timestamp
            condition = NodeCondition(type=kind, last_heartbeat_time=stamp)
        if condition.status != "Unknown":
            known[kind] = msgspec.structs.replace(
                condition, status="Unknown", reason=reason, message=message, last_transition_time=now
            )
    return list(known.values())


def plan_taints(node: Node, execute: Execute, now: str) -> list[Taint]:
    """All taints the node should have; the very list it has when they are right."""
    ready = ready_status(node)
    wanted = {(PRESSURE_TAINTS[kind], NO_SCHEDULE) for kind in _true_pressures(node)}
    if node.spec.unschedulable:
        wanted.add((UNSCHEDULABLE, NO_SCHEDULE))
    if ready != "True":
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        wanted.add((key, NO_SCHEDULE))
        if execute is Execute.ALLOW or (execute is Execute.HOLD and is_evicting(node)):
            wanted.add((key, NO_EXECUTE))
    present = {(taint.key, taint.effect) for taint in node.spec.taints}
    if present & OWNED == wanted:
        return node.spec.taints
    kept = [
        taint
        for taint in node.spec.taints
        if (taint.key, taint.effect) not in OWNED or (taint.key, taint.effect) in wanted
    ]
    added = [Taint(key=key, effect=effect, time_added=now) for key, effect in sorted(wanted - present)]
    return kept + added


def is_evicting(node: Node) -> bool:
    """Whether its pods are being sent away because of its state."""
    return any(taint.key in (NOT_READY, UNREACHABLE) and taint.effect == NO_EXECUTE for taint in node.spec.taints)


def _true_pressures(node: Node) -> list[str]:
    return [
        condition.type
        for condition in node.status.conditions
        if condition.type in PRESSURE_TAINTS and condition.status == "True"
    ]
