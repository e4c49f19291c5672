"""What a change of a node or of a placed pod means to pods that wait; pure."""

from master.api.core.node import Node
from master.api.core.pod import Pod
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


def placement_changed(old: Pod | None, new: Pod) -> bool:
    """Whether a pod that has a node is counted otherwise than before."""
    if old is None or not old.spec.node_name:
        return True
    before, after = old.metadata, new.metadata
    return before.labels != after.labels or (before.deletion_timestamp is None) != (after.deletion_timestamp is None)
