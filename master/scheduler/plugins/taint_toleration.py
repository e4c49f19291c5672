"""TaintToleration: taints keep pods away that do not tolerate them; those of effect PreferNoSchedule only rank."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from master.api.core.node import Node, Taint
from master.api.core.scheduling import Toleration
from master.scheduler.framework import MAX_SCORE, Change
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import Mask, NodeTable, Scores

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"
PREFER_NO_SCHEDULE = "PreferNoSchedule"


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value


def untolerated(taints: Iterable[Taint], tolerations: Sequence[Toleration], effects: Sequence[str]) -> list[Taint]:
    return [
        taint
        for taint in taints
        if taint.effect in effects and not any(tolerates(toleration, taint) for toleration in tolerations)
    ]


class TaintToleration:
    name = "TaintToleration"
    weight = 3.0
    helped_by: frozenset[Change] = frozenset({Change.NODE_ADDED, Change.NODE_TAINTS})

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        tolerations = info.pod.spec.tolerations

        def passes(node: Node) -> bool:
            return not untolerated(node.spec.taints, tolerations, (NO_SCHEDULE, NO_EXECUTE))

        return table.static_mask((self.name, msgspec.json.encode(tolerations)), passes)

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        taints = table.node(row).spec.taints
        first = untolerated(taints, info.pod.spec.tolerations, (NO_SCHEDULE, NO_EXECUTE))[0]
        return [f"node(s) had untolerated taint {{{first.key}: {first.value}}}"]

    def scores(self, info: PodInfo, table: NodeTable, rows: Mask) -> Scores | None:
        tolerations = info.pod.spec.tolerations
        key = (self.name, "score", msgspec.json.encode(tolerations))
        clean = table.static_mask(
            key, lambda node: not untolerated(node.spec.taints, tolerations, (PREFER_NO_SCHEDULE,))
        )
        if clean.all():
            return None
        counts = np.array(
            [
                len(untolerated(table.node(row).spec.taints, tolerations, (PREFER_NO_SCHEDULE,)))
                for row in range(len(table))
            ],
            dtype=np.float64,
        )
        most = counts[rows].max()
        return None if most == 0 else MAX_SCORE * (1.0 - counts / most)
