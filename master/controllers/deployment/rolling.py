"""Rolling update: new pods come within the surge, old pods go as long as enough are available. Pure.

Invariant, from which both functions follow: pods wanted or still there never exceed replicas + surge by our doing,
and an available pod goes only while more than replicas - maxUnavailable are available. Kubernetes reckons with sizes
for the first and with reported counts for the second; taking the worse of the two makes both hold while a status lags.
"""

from collections.abc import Sequence

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet
from master.controllers.deployment.revisions import by_age
from master.controllers.deployment.sizes import (
    Resize,
    available,
    is_rolling,
    max_surge,
    min_available,
    total_held,
    total_wanted,
    wanted,
)


def size_of_newest(deployment: Deployment, all_sets: Sequence[ReplicaSet], current: int) -> int:
    """What the newest ReplicaSet, now at `current`, may have: also its first size when it is about to be created."""
    total = wanted(deployment)
    if not is_rolling(deployment):
        return total
    room = total + max_surge(deployment) - total_held(all_sets)
    if room <= 0:
        return current
    return current + min(room, total - current)


def plan_rolling(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Resize]:
    """One step of a rolling update: first up, and only when up is done, down. Empty: nothing to do now."""
    up = plan_newest(deployment, new, old)
    return up or plan_old(deployment, new, old)


def plan_newest(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Resize]:
    total = wanted(deployment)
    if wanted(new) == total:
        return []
    size = total if wanted(new) > total else size_of_newest(deployment, [new, *old], wanted(new))
    return [Resize(new, size)] if size != wanted(new) else []


def plan_old(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Resize]:
    """Old pods that are not available go first (they serve nobody), then available ones down to the minimum."""
    if total_wanted(old) == 0:
        return []
    minimum = min_available(deployment)
    # New pods that are not available yet may never be: they must not pay for old ones that are.
    new_unavailable = wanted(new) - available(new)
    removable = total_wanted([new, *old]) - minimum - new_unavailable
    if removable <= 0:
        return []
    sizes = {replica_set.metadata.name: wanted(replica_set) for replica_set in old}
    oldest_first = sorted(old, key=by_age)
    for replica_set in oldest_first:
        unhealthy = wanted(replica_set) - available(replica_set)
        dropped = min(removable, unhealthy)
        removable -= dropped
        sizes[replica_set.metadata.name] -= dropped
    spare = sum(available(replica_set) for replica_set in [new, *old]) - minimum
    for replica_set in oldest_first:
        dropped = max(0, min(spare, sizes[replica_set.metadata.name]))
        spare -= dropped
        sizes[replica_set.metadata.name] -= dropped
    return [
        Resize(replica_set, sizes[replica_set.metadata.name])
        for replica_set in oldest_first
        if sizes[replica_set.metadata.name] != wanted(replica_set)
    ]
