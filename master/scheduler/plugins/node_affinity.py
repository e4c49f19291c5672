"""NodeAffinity: `nodeSelector` and the required terms decide, the preferred terms rank."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.core.scheduling import NodeSelectorRequirement, NodeSelectorTerm, PreferredSchedulingTerm
from master.scheduler.framework import MAX_SCORE, Change
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import Mask, NodeTable, Scores


def requirement_holds(requirement: NodeSelectorRequirement, values: Mapping[str, str]) -> bool:
    value = values.get(requirement.key)
    return _OPERATORS.get(requirement.operator, _never)(value, requirement.values)


def term_holds(term: NodeSelectorTerm, node: Node) -> bool:
    """All of its requirements; a term without any holds nowhere."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.metadata.name}
    return all(requirement_holds(each, node.metadata.labels) for each in term.match_expressions) and all(
        requirement_holds(each, fields) for each in term.match_fields
    )


def required_terms(pod: Pod) -> list[NodeSelectorTerm] | None:
    """The alternatives of which one must hold; None when the pod asks for none."""
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    required = affinity and affinity.required_during_scheduling_ignored_during_execution
    return required.node_selector_terms if required else None


def preferred_terms(pod: Pod) -> list[PreferredSchedulingTerm]:
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    return affinity.preferred_during_scheduling_ignored_during_execution if affinity else []


class NodeAffinity:
    name = "NodeAffinity"
    weight = 2.0
    helped_by: frozenset[Change] = frozenset({Change.NODE_ADDED, Change.NODE_LABELS})

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        selector, terms = info.pod.spec.node_selector, required_terms(info.pod)
        if not selector and terms is None:
            return None

        def passes(node: Node) -> bool:
            labels = node.metadata.labels
            if any(labels.get(key) != value for key, value in selector.items()):
                return False
            return terms is None or any(term_holds(term, node) for term in terms)

        return table.static_mask((self.name, msgspec.json.encode((selector, terms), order="sorted")), passes)

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        return ["node(s) didn't match Pod's node affinity/selector"]

    def scores(self, info: PodInfo, table: NodeTable, rows: Mask) -> Scores | None:
        preferred = preferred_terms(info.pod)
        if not preferred:
            return None
        total = np.zeros(len(table), dtype=np.float64)
        for each in preferred:
            key = (self.name, msgspec.json.encode(each.preference))
            total += each.weight * table.static_mask(key, _term_test(each.preference))
        best = total[rows].max()
        return None if best == 0 else MAX_SCORE * total / best


def _term_test(term: NodeSelectorTerm) -> Callable[[Node], bool]:
    return lambda node: term_holds(term, node)


def _compare(value: str | None, bounds: Sequence[str], sign: int) -> bool:
    try:
        return value is not None and len(bounds) == 1 and sign * int(value) > sign * int(bounds[0])
    except ValueError:
        return False


def _never(value: str | None, values: Sequence[str]) -> bool:
    return False


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value is None or value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
    "Gt": lambda value, values: _compare(value, values, 1),
    "Lt": lambda value, values: _compare(value, values, -1),
}
