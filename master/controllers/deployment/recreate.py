"""Recreate: every old pod is gone before the first new one comes. Pure."""

from collections.abc import Iterable, Sequence

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet
from master.api.core.pod import Pod
from master.controllers.deployment.sizes import Resize, wanted
from master.controllers.podstate import is_finished


def plan_stop(old: Sequence[ReplicaSet]) -> list[Resize]:
    """All old ReplicaSets to zero."""
    return [Resize(replica_set, 0) for replica_set in old if wanted(replica_set) > 0]


def any_runs(pods: Iterable[Pod]) -> bool:
    """Whether one of the old pods may still run: one that is being deleted does, until its node says otherwise."""
    return any(not is_finished(pod) for pod in pods)


def plan_start(deployment: Deployment, new: ReplicaSet) -> list[Resize]:
    return [Resize(new, wanted(deployment))] if wanted(new) != wanted(deployment) else []
