"""NodeUnschedulable: a cordoned node takes only pods that tolerate its being cordoned."""

from master.api.core.node import Taint
from master.scheduler.framework import Change
from master.scheduler.plugins.taint_toleration import NO_SCHEDULE, tolerates
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import Mask, NodeTable

UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect=NO_SCHEDULE)


class NodeUnschedulable:
    name = "NodeUnschedulable"
    helped_by: frozenset[Change] = frozenset({Change.NODE_ADDED, Change.NODE_TAINTS})

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        if any(tolerates(toleration, UNSCHEDULABLE) for toleration in info.pod.spec.tolerations):
            return None
        return table.static_mask(self.name, lambda node: not node.spec.unschedulable)

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        return ["node(s) were unschedulable"]
