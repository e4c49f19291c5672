"""A deployment scaled in the middle of a rollout: the change is spread over its ReplicaSets in proportion. Pure."""

from collections.abc import Mapping, Sequence

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet
from master.controllers.deployment.revisions import DESIRED_REPLICAS, MAX_REPLICAS, by_age
from master.controllers.deployment.sizes import (
    Resize,
    active,
    is_rolling,
    max_surge,
    round_half_away,
    total_wanted,
    wanted,
)


def is_scaling(deployment: Deployment, replica_sets: Sequence[ReplicaSet]) -> bool:
    """Whether some ReplicaSet was sized for another number of replicas than is wanted now."""
    return any(
        desired is not None and desired != wanted(deployment)
        for desired in (
            _number(replica_set.metadata.annotations, DESIRED_REPLICAS) for replica_set in active(replica_sets)
        )
    )


def plan_scaling(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> list[Resize]:
    """New sizes for the present number of replicas; a size that stays is listed too, for its annotations change."""
    everyone = [*old, new] if new is not None else list(old)
    only = _active_or_latest(new, everyone)
    if only is not None:
        return [Resize(only, wanted(deployment))]
    if new is not None and _is_saturated(deployment, new):
        return [Resize(replica_set, 0) for replica_set in active(old)]
    if is_rolling(deployment):
        return _proportional(deployment, active(everyone))
    return [Resize(replica_set, wanted(replica_set)) for replica_set in active(everyone)]


def _active_or_latest(new: ReplicaSet | None, everyone: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The only one that wants pods; when none does, the newest. None when several do."""
    wanting = active(everyone)
    if len(wanting) > 1:
        return None
    if wanting:
        return wanting[0]
    return new or max(everyone, key=by_age, default=None)


def _is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    total = wanted(deployment)
    desired = _number(new.metadata.annotations, DESIRED_REPLICAS)
    return wanted(new) == total and desired == total and new.status.available_replicas == total


def _proportional(deployment: Deployment, replica_sets: Sequence[ReplicaSet]) -> list[Resize]:
    total = wanted(deployment)
    allowed = total + max_surge(deployment) if total > 0 else 0
    to_add = allowed - total_wanted(replica_sets)
    # Growth favours the newest among equals and shrinking takes the oldest first, so that rollouts go forward.
    ordered = sorted(replica_sets, key=by_age, reverse=to_add > 0)
    ordered.sort(key=wanted, reverse=True)
    sizes: list[int] = []
    added = 0
    for replica_set in ordered:
        share = _share(deployment, replica_set, to_add - added) if to_add else 0
        added += share
        sizes.append(wanted(replica_set) + share)
    if sizes:
        sizes[0] = max(0, sizes[0] + to_add - added)
    return [Resize(replica_set, size) for replica_set, size in zip(ordered, sizes, strict=True)]


def _share(deployment: Deployment, replica_set: ReplicaSet, left: int) -> int:
    """What of the rest is due to this one, by its part of the size that was meant before; never beyond the rest."""
    if wanted(deployment) == 0:
        return -wanted(replica_set)
    meant = _number(replica_set.metadata.annotations, MAX_REPLICAS) or deployment.status.replicas
    if not meant:
        return 0
    size = round_half_away(wanted(replica_set) * (wanted(deployment) + max_surge(deployment)) / meant)
    fraction = size - wanted(replica_set)
    return min(max(fraction, 0), left) if left > 0 else max(min(fraction, 0), left)


def _number(annotations: Mapping[str, str], name: str) -> int | None:
    text = annotations.get(name, "")
    return int(text) if text.isdecimal() else None
