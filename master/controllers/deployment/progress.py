"""Is the rollout getting anywhere? The condition Progressing, which `kubectl rollout status` reads. Pure."""

from master.api.apps.deployment import Deployment, DeploymentStatus
from master.api.apps.replicaset import ReplicaSet
from master.api.timestamps import parse_rfc3339
from master.controllers.deployment.status import (
    PROGRESSING,
    Conditions,
    condition_of,
    is_complete,
    with_condition,
    without,
)

NO_DEADLINE = 2**31 - 1
DEFAULT_DEADLINE_S = 600
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"


def deadline_s(deployment: Deployment) -> int | None:
    """Seconds without progress after which the rollout counts as stuck; None: never."""
    seconds = deployment.spec.progress_deadline_seconds
    if seconds is None:
        return DEFAULT_DEADLINE_S
    return None if seconds == NO_DEADLINE else seconds


def with_pause(deployment: Deployment, conditions: Conditions, now: str) -> Conditions:
    """Pausing stops the clock and resuming starts it anew; a verdict already given stands."""
    known = condition_of(conditions, PROGRESSING)
    reason = known.reason if known is not None else ""
    if deadline_s(deployment) is None or reason == TIMED_OUT:
        return conditions
    if deployment.spec.paused and reason != PAUSED:
        return with_condition(conditions, PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now)
    if not deployment.spec.paused and reason == PAUSED:
        return with_condition(conditions, PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now)
    return conditions


def with_progress(
    deployment: Deployment, new: ReplicaSet | None, status: DeploymentStatus, now: str, now_s: float
) -> Conditions:
    """`status` is the one just computed; the deployment still carries the one from before."""
    conditions = status.conditions
    if deadline_s(deployment) is None:
        return without(conditions, PROGRESSING)
    known = condition_of(conditions, PROGRESSING)
    finished_before = known is not None and known.reason == NEW_AVAILABLE
    if finished_before and status.replicas == status.updated_replicas:
        return conditions  # scaling or a lost pod after the rollout is no new rollout
    what = f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{deployment.metadata.name}"'
    if is_complete(deployment, status):
        message = f"{what} has successfully progressed."
        return with_condition(conditions, PROGRESSING, "True", NEW_AVAILABLE, message, now)
    if has_progressed(deployment.status, status):
        message = f"{what} is progressing."
        return with_condition(conditions, PROGRESSING, "True", "ReplicaSetUpdated", message, now, renew=True)
    if is_timed_out(deployment, conditions, now_s):
        return with_condition(conditions, PROGRESSING, "False", TIMED_OUT, f"{what} has timed out progressing.", now)
    return conditions


def has_progressed(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    return (
        new.updated_replicas > old.updated_replicas
        or new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        or new.ready_replicas > old.ready_replicas
        or new.available_replicas > old.available_replicas
    )


def is_timed_out(deployment: Deployment, conditions: Conditions, now_s: float) -> bool:
    known = condition_of(conditions, PROGRESSING)
    if known is None or known.reason in (NEW_AVAILABLE, PAUSED):
        return False
    if known.reason == TIMED_OUT:
        return True
    limit_s = deadline_s(deployment)
    if limit_s is None or not known.last_update_time:
        return False
    return now_s > parse_rfc3339(known.last_update_time) + limit_s


def recheck_in_s(deployment: Deployment, status: DeploymentStatus, now_s: float) -> float | None:
    """When to look for the deadline again, since nothing will happen to a stuck rollout that would call us."""
    known = condition_of(status.conditions, PROGRESSING)
    limit_s = deadline_s(deployment)
    if known is None or limit_s is None or not known.last_update_time or deployment.spec.paused:
        return None
    if known.reason == TIMED_OUT or is_complete(deployment, status) or known.reason == NEW_AVAILABLE:
        return None
    # One second more: timestamps have whole seconds only.
    return max(1.0, parse_rfc3339(known.last_update_time) + limit_s - now_s + 1.0)
