"""NodeName: a pod that asks for a node by name fits only there."""

from master.scheduler.framework import Change
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import Mask, NodeTable


class NodeName:
    name = "NodeName"
    helped_by: frozenset[Change] = frozenset({Change.NODE_ADDED})

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        wanted = info.pod.spec.node_name
        if not wanted:
            return None
        return table.static_mask((self.name, wanted), lambda node: node.metadata.name == wanted)

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        return ["node(s) didn't match the requested node name"]
