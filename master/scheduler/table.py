"""The nodes as columns: one NumPy row number a node, so that a filter or score looks at all nodes in one operation.

Numbers (allocatable, requested) are int64 columns by resource. What hangs on labels and taints is computed per node
in Python, but remembered: `static_mask` keeps the answer until a node changes. A row number is only valid until the
next change of the node set; names are what lasts.

Pods bound to a node that is not known (yet) wait under its name, so the order of events does not matter.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator

import numpy as np
from numpy.typing import NDArray

from master.api.core.node import Node
from master.scheduler.podinfo import CPU, MEMORY, Amounts, HostPort, PodInfo, amounts

Mask = NDArray[np.bool_]
Column = NDArray[np.int64]
Scores = NDArray[np.float64]

FIRST_ROWS = 16
MAX_STATIC_MASKS = 256
"""Distinct tolerations or selectors remembered; a cluster has few, one per kind of workload."""


class Columns:
    """Growing int64 columns by name; absent ones read as zero."""

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}
        self._rows = FIRST_ROWS

    def column(self, name: str) -> Column:
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = np.zeros(self._rows, dtype=np.int64)
        return found

    def reserve(self, rows: int) -> None:
        while self._rows < rows:
            self._rows *= 2
        for name, column in self._columns.items():
            if len(column) < self._rows:
                self._columns[name] = np.pad(column, (0, self._rows - len(column)))

    def set_row(self, row: int, values: Amounts) -> None:
        for name in self._columns.keys() | values.keys():
            self.column(name)[row] = values.get(name, 0)

    def add_row(self, row: int, values: Amounts, sign: int) -> None:
        for name, value in values.items():
            self.column(name)[row] += sign * value

    def move_row(self, source: int, target: int) -> None:
        for column in self._columns.values():
            column[target] = column[source]
            column[source] = 0


class NodeTable:
    """Nodes and the pods on them. `add_pod` and `remove_pod` are exact inverses."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._rows: dict[str, int] = {}
        self._nodes: list[Node] = []
        self._allocatable = Columns()
        self._requested = Columns()
        self._score_requested = Columns()
        self._pods: dict[str, dict[str, PodInfo]] = {}
        self._node_of: dict[str, str] = {}
        self._owners: dict[str, Counter[str]] = {}
        self._static_masks: OrderedDict[Hashable, Mask] = OrderedDict()

    def __len__(self) -> int:
        return len(self.names)

    # Nodes.

    def put_node(self, node: Node) -> None:
        name = node.metadata.name
        row = self._rows.get(name)
        if row is None:
            row = self._add_row(node)
        elif _static_facts(self._nodes[row]) != _static_facts(node):
            self._static_masks.clear()
        self._nodes[row] = node
        self._allocatable.set_row(row, amounts(node.status.allocatable or node.status.capacity))

    def _add_row(self, node: Node) -> int:
        name, row = node.metadata.name, len(self.names)
        for columns in self._all_columns():
            columns.reserve(row + 1)
        self.names.append(name)
        self._nodes.append(node)
        self._rows[name] = row
        self._static_masks.clear()
        for info in self._pods.get(name, {}).values():
            self._count(row, info, +1)
        return row

    def remove_node(self, name: str) -> None:
        """Its pods stay known under its name: they exist until they are deleted."""
        row = self._rows.pop(name, None)
        if row is None:
            return
        last = len(self.names) - 1
        for columns in self._all_columns():
            columns.set_row(row, {})
            if row != last:
                columns.move_row(last, row)
        if row != last:
            self.names[row], self._nodes[row] = self.names[last], self._nodes[last]
            self._rows[self.names[row]] = row
        self.names.pop()
        self._nodes.pop()
        self._static_masks.clear()

    def node(self, row: int) -> Node:
        return self._nodes[row]

    def row(self, name: str) -> int | None:
        return self._rows.get(name)

    # Pods.

    def add_pod(self, info: PodInfo, node_name: str) -> None:
        """Account for a pod; one that is known already (by uid) is replaced."""
        self.remove_pod(info.uid)
        self._node_of[info.uid] = node_name
        self._pods.setdefault(node_name, {})[info.uid] = info
        if info.owner:
            self._owners.setdefault(info.owner, Counter())[node_name] += 1
        row = self._rows.get(node_name)
        if row is not None:
            self._count(row, info, +1)

    def remove_pod(self, uid: str) -> None:
        node_name = self._node_of.pop(uid, None)
        if node_name is None:
            return
        info = self._pods[node_name].pop(uid)
        if not self._pods[node_name]:
            del self._pods[node_name]
        if info.owner:
            self._uncount_owner(info.owner, node_name)
        row = self._rows.get(node_name)
        if row is not None:
            self._count(row, info, -1)

    def _uncount_owner(self, owner: str, node_name: str) -> None:
        counts = self._owners[owner]
        counts[node_name] -= 1
        if counts[node_name] == 0:
            del counts[node_name]
        if not counts:
            del self._owners[owner]

    def _count(self, row: int, info: PodInfo, sign: int) -> None:
        self._requested.add_row(row, info.requests, sign)
        self._score_requested.add_row(row, info.score_requests, sign)

    def node_of(self, uid: str) -> str | None:
        return self._node_of.get(uid)

    def pods_on(self, row: int) -> Iterator[PodInfo]:
        return iter(self._pods.get(self.names[row], {}).values())

    def used_ports(self, row: int) -> list[HostPort]:
        return [port for info in self.pods_on(row) for port in info.ports]

    def owner_counts(self, owner: str) -> Column:
        """Per row the number of pods of that owner."""
        counts = np.zeros(len(self), dtype=np.int64)
        for name, count in self._owners.get(owner, {}).items():
            row = self._rows.get(name)
            if row is not None:
                counts[row] = count
        return counts

    # Columns.

    def allocatable(self, resource: str) -> Column:
        return self._allocatable.column(resource)[: len(self)]

    def requested(self, resource: str) -> Column:
        return self._requested.column(resource)[: len(self)]

    def score_requested(self, resource: str) -> Column:
        assert resource in (CPU, MEMORY), "scores look at cpu and memory"
        return self._score_requested.column(resource)[: len(self)]

    def static_mask(self, key: Hashable, passes: Callable[[Node], bool]) -> Mask:
        """`passes` over all nodes, remembered until a node's labels or taints change; `key` names the question."""
        mask = self._static_masks.get(key)
        if mask is None:
            mask = np.fromiter((passes(node) for node in self._nodes), dtype=np.bool_, count=len(self))
            self._static_masks[key] = mask
            if len(self._static_masks) > MAX_STATIC_MASKS:
                self._static_masks.popitem(last=False)
        else:
            self._static_masks.move_to_end(key)
        return mask

    def _all_columns(self) -> tuple[Columns, ...]:
        return self._allocatable, self._requested, self._score_requested


def _static_facts(node: Node) -> tuple[object, ...]:
    """What remembered masks may depend on."""
    return node.metadata.labels, node.spec.taints, node.spec.unschedulable
