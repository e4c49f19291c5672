"""How a node is chosen: every filter must let it pass, then the scores are added up; pure.

A filter answers for all nodes at once with a mask. Filters run in order and each looks only at what the earlier ones
left, so a refused node is refused by exactly one plugin, and "why pending" adds up to the number of nodes.
"""

import random
from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol

import msgspec
import numpy as np

from master.scheduler.explain import Explanation
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import Mask, NodeTable, Scores

MAX_SCORE = 100.0


class Change(Enum):
    """What happened in the cluster that may make a pending pod schedulable."""

    NODE_ADDED = auto()
    NODE_RESOURCES = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()
    NODE_GONE = auto()
    POD_PLACED = auto()
    """A pod with a node came, was relabelled or begins to go: other pods are counted where it stands."""
    POD_GONE = auto()


class Filter(Protocol):
    """Decides which nodes can take a pod. `helped_by` are the changes after which asking again makes sense."""

    @property
    def name(self) -> str: ...

    @property
    def helped_by(self) -> frozenset[Change]: ...

    def passes(self, info: PodInfo, table: NodeTable) -> Mask | None:
        """True for the rows that can take the pod; None when the plugin has no opinion on this pod."""
        ...

    def reasons(self, info: PodInfo, table: NodeTable, row: int) -> list[str]:
        """Why a refused row was refused, in the words that people know from Kubernetes."""
        ...


class Score(Protocol):
    """Ranks the nodes that are left, 0 to 100 each."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    def scores(self, info: PodInfo, table: NodeTable, rows: Mask) -> Scores | None:
        """A score for every row (those outside `rows` are ignored); None when all are equal to this plugin."""
        ...


class Placement(msgspec.Struct, frozen=True):
    node_name: str
    score: float


class Framework:
    """The plugins of one profile."""

    def __init__(self, filters: Sequence[Filter], scores: Sequence[Score]) -> None:
        self._filters = filters
        self._scores = scores

    def decide(self, info: PodInfo, table: NodeTable, rng: random.Random) -> Placement | Explanation:
        """The best node, one of the best at random, or why there is none."""
        left = np.ones(len(table), dtype=np.bool_)
        refused: list[tuple[Filter, Mask]] = []
        for plugin in self._filters:
            mask = plugin.passes(info, table)
            if mask is None:
                continue
            out = left & ~mask
            if out.any():
                refused.append((plugin, out))
                left &= mask
                if not left.any():
                    break
        if left.any():
            return self._best(info, table, left, rng)
        return self._explain(info, table, refused)

    def _explain(self, info: PodInfo, table: NodeTable, refused: Sequence[tuple[Filter, Mask]]) -> Explanation:
        refusals = {plugin.name: int(out.sum()) for plugin, out in refused}
        reasons: Counter[str] = Counter()
        for plugin, out in refused:
            for row in np.flatnonzero(out):
                reasons.update(plugin.reasons(info, table, int(row)))
        return Explanation(len(table), refusals, dict(reasons))

    def _best(self, info: PodInfo, table: NodeTable, left: Mask, rng: random.Random) -> Placement:
        total = np.zeros(len(table), dtype=np.float64)
        for plugin in self._scores:
            scores = plugin.scores(info, table, left)
            if scores is not None:
                total += plugin.weight * scores
        total[~left] = -1.0
        best = np.flatnonzero(total >= total.max() - 1e-9)
        row = int(best[rng.randrange(len(best))])
        return Placement(table.names[row], float(total[row]))

    def helped_by(self, plugins: frozenset[str]) -> frozenset[Change]:
        """The changes that may help a pod that these plugins refused."""
        wanted: frozenset[Change] = frozenset()
        for plugin in self._filters:
            if plugin.name in plugins:
                wanted |= plugin.helped_by
        return wanted | {Change.NODE_ADDED}
