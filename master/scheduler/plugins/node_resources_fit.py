"""NodeResourcesFit: the sum of all requests on a node never exceeds what it can give.

Ranks too, as LeastAllocated: the emptier node (after the pod) is the better one.
"""

import numpy as np

from master.scheduler.framework import MAX_SCORE, Change
from master.scheduler.podinfo import CPU, MEMORY, PODS, PodInfo
from master.scheduler.table import Mask, NodeTable, Scores


class NodeResourcesFit:
    name = "NodeResourcesFit"
    weight = 1.0
    helped_by: frozenset[Change] = frozenset({Change.NODE_ADDED, Change.NODE_RESOURCES, Change.POD_GONE})

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        fits = np.ones(len(table), dtype=np.bool_)
        for resource, wanted in info.requests.items():
            if wanted > 0:
                fits &= wanted <= table.allocatable(resource) - table.requested(resource)
        return fits

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        short = [
            resource
            for resource, wanted in info.requests.items()
            if 0 < wanted > table.allocatable(resource)[row] - table.requested(resource)[row]
        ]
        return ["Too many pods" if resource == PODS else f"Insufficient {resource}" for resource in short]

    def scores(self, info: PodInfo, table: NodeTable, rows: Mask) -> Scores | None:
        free = [1.0 - used_fraction(info, table, resource) for resource in (CPU, MEMORY)]
        return MAX_SCORE * np.clip((free[0] + free[1]) / 2, 0.0, 1.0)


def used_fraction(info: PodInfo, table: NodeTable, resource: str) -> Scores:
    """Per row the share of a resource that would be in use with the pod; a node without it counts as full."""
    allocatable = table.allocatable(resource)
    used = table.score_requested(resource) + info.score_requests[resource]
    fraction = np.ones(len(table), dtype=np.float64)
    np.divide(used, allocatable, out=fraction, where=allocatable > 0)
    return np.minimum(fraction, 1.0)
