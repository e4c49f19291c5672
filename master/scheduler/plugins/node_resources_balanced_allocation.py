"""NodeResourcesBalancedAllocation: prefer the node whose cpu and memory would be used in like proportion."""

import numpy as np

from master.scheduler.framework import MAX_SCORE
from master.scheduler.plugins.node_resources_fit import used_fraction
from master.scheduler.podinfo import CPU, MEMORY, PodInfo
from master.scheduler.table import Mask, NodeTable, Scores


class NodeResourcesBalancedAllocation:
    name = "NodeResourcesBalancedAllocation"
    weight = 1.0

    def scores(self, info: PodInfo, table: NodeTable, rows: Mask) -> Scores | None:
        # The standard deviation of two numbers is half their distance.
        distance = np.abs(used_fraction(info, table, CPU) - used_fraction(info, table, MEMORY))
        return MAX_SCORE * (1.0 - distance / 2)
