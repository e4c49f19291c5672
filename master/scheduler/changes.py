"""What a change of a node means to pods that wait; pure."""

from master.api.core.node import Node
from master.scheduler.framework import Change


def node_changes(old: Node | None, new: Node) -> set[Change]:
    """The kinds of change between two states of a node; none for a mere heartbeat."""
    if old is None:
        return {Change.NODE_ADDED}
    changes: set[Change] = set()
    if old.metadata.labels != new.metadata.labels:
        changes.add(Change.NODE_LABELS)
    if old.spec.taints != new.spec.taints or old.spec.unschedulable != new.spec.unschedulable:
        changes.add(Change.NODE_TAINTS)
    if old.status.allocatable != new.status.allocatable:
        changes.add(Change.NODE_RESOURCES)
    return changes
