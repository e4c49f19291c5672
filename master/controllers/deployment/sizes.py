"""The numbers of a rollout: percentages resolved, replicas added up. Pure."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet
from master.api.model import IntOrString

DEFAULT_BOUND: IntOrString = "25%"


class Resize(msgspec.Struct, frozen=True):
    """Give this ReplicaSet this size."""

    replica_set: ReplicaSet
    replicas: int


def wanted(obj: Deployment | ReplicaSet) -> int:
    """`spec.replicas`, whose default is 1."""
    return 1 if obj.spec.replicas is None else obj.spec.replicas


def total_wanted(replica_sets: Iterable[ReplicaSet]) -> int:
    return sum(wanted(replica_set) for replica_set in replica_sets)


def total_held(replica_sets: Iterable[ReplicaSet]) -> int:
    """Pods that are wanted or still there: a ReplicaSet told to shrink holds its pods until its status says less."""
    return sum(max(wanted(replica_set), replica_set.status.replicas) for replica_set in replica_sets)


def available(replica_set: ReplicaSet) -> int:
    """Available pods that will stay: a status from before a shrinking counts pods that are about to go."""
    return min(wanted(replica_set), replica_set.status.available_replicas)


def resolve(bound: IntOrString, total: int, *, round_up: bool) -> int:
    """A count as it is, a percentage of `total` rounded to one side."""
    if isinstance(bound, int):
        return bound
    share = int(bound.removesuffix("%")) * total
    return -(-share // 100) if round_up else share // 100


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy.type in ("", "RollingUpdate")


def bounds(deployment: Deployment) -> tuple[int, int]:
    """(surge, unavailable): surge rounds up, unavailable down; both zero would never move, so then unavailable is 1."""
    total = wanted(deployment)
    if not is_rolling(deployment):
        return 0, 0
    rolling = deployment.spec.strategy.rolling_update
    surge_bound = rolling.max_surge if rolling and rolling.max_surge is not None else DEFAULT_BOUND
    down_bound = rolling.max_unavailable if rolling and rolling.max_unavailable is not None else DEFAULT_BOUND
    surge = resolve(surge_bound, total, round_up=True)
    unavailable = resolve(down_bound, total, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, total)


def max_surge(deployment: Deployment) -> int:
    return bounds(deployment)[0]


def min_available(deployment: Deployment) -> int:
    return wanted(deployment) - bounds(deployment)[1]


def active(replica_sets: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """Those that want pods."""
    return [replica_set for replica_set in replica_sets if wanted(replica_set) > 0]


def round_half_away(value: float) -> int:
    """Go's integer rounding of a fraction, which Python's `round` is not (that goes to even)."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)
