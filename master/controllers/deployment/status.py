"""The deployment's counts and its conditions Available and ReplicaFailure. Pure."""

from collections.abc import Sequence

import msgspec

from master.api.apps.deployment import Deployment, DeploymentCondition, DeploymentStatus
from master.api.apps.replicaset import ReplicaSet
from master.controllers.deployment.sizes import min_available, total_wanted, wanted

AVAILABLE = "Available"
PROGRESSING = "Progressing"
REPLICA_FAILURE = "ReplicaFailure"

Conditions = list[DeploymentCondition]


def condition_of(conditions: Conditions, kind: str) -> DeploymentCondition | None:
    return next((condition for condition in conditions if condition.type == kind), None)


def without(conditions: Conditions, kind: str) -> Conditions:
    return [condition for condition in conditions if condition.type != kind]


def with_condition(
    conditions: Conditions, kind: str, status: str, reason: str, message: str, now: str, *, renew: bool = False
) -> Conditions:
    """The conditions with this one set; untouched when status and reason are the same (unless `renew`: it advanced)."""
    known = condition_of(conditions, kind)
    if known is not None and (known.status, known.reason) == (status, reason) and not renew:
        return conditions
    kept_since = known.last_transition_time if known is not None and known.status == status else now
    condition = DeploymentCondition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_update_time=now,
        last_transition_time=kept_since,
    )
    return [*without(conditions, kind), condition]


def counts(
    deployment: Deployment, new: ReplicaSet | None, all_sets: Sequence[ReplicaSet], conditions: Conditions, now: str
) -> DeploymentStatus:
    """What its ReplicaSets report, added up; `conditions` are those that go on, Available is judged anew."""
    available = sum(replica_set.status.available_replicas for replica_set in all_sets)
    if available >= min_available(deployment):
        state = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        state = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(replica_set.status.replicas for replica_set in all_sets),
        updated_replicas=new.status.replicas if new is not None else 0,
        ready_replicas=sum(replica_set.status.ready_replicas for replica_set in all_sets),
        available_replicas=available,
        unavailable_replicas=max(0, total_wanted(all_sets) - available),
        terminating_replicas=sum(replica_set.status.terminating_replicas or 0 for replica_set in all_sets),
        collision_count=deployment.status.collision_count,
        conditions=with_condition(conditions, AVAILABLE, *state, now),
    )


def with_failures(
    conditions: Conditions, new: ReplicaSet | None, all_sets: Sequence[ReplicaSet], now: str
) -> Conditions:
    """A ReplicaSet that cannot make its pods makes the deployment say so; the newest one speaks first."""
    ordered = sorted(all_sets, key=lambda replica_set: replica_set is not new)
    for replica_set in ordered:
        for failure in replica_set.status.conditions:
            if failure.type == REPLICA_FAILURE:
                return with_condition(conditions, REPLICA_FAILURE, failure.status, failure.reason, failure.message, now)
    return without(conditions, REPLICA_FAILURE)


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Everything that is wanted is of the newest template and available, and nothing else is left."""
    total = wanted(deployment)
    return (
        status.updated_replicas == total
        and status.replicas == total
        and status.available_replicas == total
        and status.observed_generation >= deployment.metadata.generation
    )


def same(left: DeploymentStatus, right: DeploymentStatus) -> bool:
    """As the wire would show it."""
    return msgspec.json.encode(left) == msgspec.json.encode(right)
