"""PodTopologySpread: constraints decide or rank; a pod without any is spread over nodes beside its siblings.

Siblings are pods of the same controller. So three replicas land on three nodes unless something else forbids it.
"""

from collections import Counter

import numpy as np

from master.api.core.scheduling import TopologySpreadConstraint
from master.api.selectors import Selector, selector_from
from master.scheduler.framework import MAX_SCORE, Change
from master.scheduler.plugins.node_affinity import NodeAffinity
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import Mask, NodeTable, Scores

DO_NOT_SCHEDULE = "DoNotSchedule"
SCHEDULE_ANYWAY = "ScheduleAnyway"


class PodTopologySpread:
    name = "PodTopologySpread"
    weight = 2.0
    helped_by: frozenset[Change] = frozenset(
        {Change.NODE_ADDED, Change.NODE_LABELS, Change.NODE_GONE, Change.POD_PLACED, Change.POD_GONE}
    )

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        constraints = _constraints(info, DO_NOT_SCHEDULE)
        if not constraints:
            return None
        fits = np.ones(len(table), dtype=np.bool_)
        for constraint in constraints:
            fits &= self._within_skew(info, table, constraint)
        return fits

    def _within_skew(self, info: PodInfo, table: NodeTable, constraint: TopologySpreadConstraint) -> Mask:
        selector = selector_of(info, constraint)
        counts = domain_counts(info, table, constraint, selector)
        least = min(counts.values(), default=0)
        if len(counts) < (constraint.min_domains or 1):
            least = 0
        joins = int(selector.matches(info.pod.metadata.labels))

        def within(row: int) -> bool:
            domain = table.node(row).metadata.labels.get(constraint.topology_key)
            return domain is not None and counts[domain] + joins - least <= constraint.max_skew

        return np.fromiter((within(row) for row in range(len(table))), np.bool_, len(table))

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        labels = table.node(row).metadata.labels
        missing = any(each.topology_key not in labels for each in _constraints(info, DO_NOT_SCHEDULE))
        text = "node(s) didn't match pod topology spread constraints"
        return [f"{text} (missing required label)" if missing else text]

    def scores(self, info: PodInfo, table: NodeTable, rows: Mask) -> Scores | None:
        counts: Scores = np.zeros(len(table), dtype=np.float64)
        for constraint in _constraints(info, SCHEDULE_ANYWAY):
            counts += self._soft_counts(info, table, constraint)
        if info.owner and not info.pod.spec.topology_spread_constraints:
            counts += table.owner_counts(info.owner)
        least, most = float(counts[rows].min()), float(counts[rows].max())
        if most == least:
            return None
        return np.clip(MAX_SCORE * (most - counts) / (most - least), 0.0, MAX_SCORE)

    def _soft_counts(self, info: PodInfo, table: NodeTable, constraint: TopologySpreadConstraint) -> Scores:
        counts = domain_counts(info, table, constraint, selector_of(info, constraint))
        most = max(counts.values(), default=0)
        domains = (table.node(row).metadata.labels.get(constraint.topology_key) for row in range(len(table)))
        values = (most + 1 if domain is None else counts[domain] for domain in domains)
        return np.fromiter(values, np.float64, len(table))


def selector_of(info: PodInfo, constraint: TopologySpreadConstraint) -> Selector:
    """Which pods count: the constraint's selector, narrowed to pods that share the values of `matchLabelKeys`."""
    selector = selector_from(constraint.label_selector)
    labels = info.pod.metadata.labels
    same = {key: labels[key] for key in constraint.match_label_keys if key in labels}
    if selector.nothing or not same:
        return selector
    return Selector([*selector.requirements, *selector_from(same).requirements])


def domain_counts(
    info: PodInfo, table: NodeTable, constraint: TopologySpreadConstraint, selector: Selector
) -> Counter[str]:
    """Per domain (value of the topology key) the matching pods, over the nodes that the pod may use at all."""
    counts: Counter[str] = Counter()
    usable = NodeAffinity().passes(info, table) if constraint.node_affinity_policy != "Ignore" else None
    namespace = info.pod.metadata.namespace
    for row in range(len(table)):
        domain = table.node(row).metadata.labels.get(constraint.topology_key)
        if domain is None or (usable is not None and not usable[row]):
            continue
        counts[domain] += sum(
            selector.matches(other.pod.metadata.labels)
            for other in table.pods_on(row)
            if other.pod.metadata.namespace == namespace and other.pod.metadata.deletion_timestamp is None
        )
    return counts


def _constraints(info: PodInfo, when: str) -> list[TopologySpreadConstraint]:
    return [each for each in info.pod.spec.topology_spread_constraints if each.when_unsatisfiable == when]
