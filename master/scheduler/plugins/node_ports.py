"""NodePorts: a host port is given out once a node (and address)."""

import numpy as np

from master.scheduler.framework import Change
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import Mask, NodeTable


class NodePorts:
    name = "NodePorts"
    helped_by: frozenset[Change] = frozenset({Change.NODE_ADDED, Change.POD_GONE})

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        if not info.ports:
            return None
        return np.fromiter((self._free(info, table, row) for row in range(len(table))), np.bool_, len(table))

    def _free(self, info: PodInfo, table: NodeTable, row: int) -> bool:
        return not any(wanted.clashes(used) for used in table.used_ports(row) for wanted in info.ports)

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        return ["node(s) didn't have free ports for the requested pod ports"]
