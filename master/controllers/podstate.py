"""What controllers ask of a pod: is it active, ready, available, and which of several should go first. Pure."""

from collections.abc import Iterable, Sequence

from master.api.core.pod import Pod, PodCondition
from master.api.meta import Object
from master.api.timestamps import parse_rfc3339

DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def condition_of(pod: Pod, kind: str) -> PodCondition | None:
    return next((condition for condition in pod.status.conditions if condition.type == kind), None)


def is_finished(pod: Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """Counts as a replica: neither finished nor on its way out."""
    return not is_finished(pod) and pod.metadata.deletion_timestamp is None


def is_terminating(pod: Pod) -> bool:
    return not is_finished(pod) and pod.metadata.deletion_timestamp is not None


def is_ready(pod: Pod) -> bool:
    condition = condition_of(pod, "Ready")
    return condition is not None and condition.status == "True"


def ready_since_s(pod: Pod) -> float | None:
    """When it became ready, in epoch seconds; None when it is not or does not say."""
    condition = condition_of(pod, "Ready")
    if condition is None or condition.status != "True" or not condition.last_transition_time:
        return None
    return parse_rfc3339(condition.last_transition_time)


def available_in_s(pod: Pod, min_ready_seconds: int, now_s: float) -> float | None:
    """0 when the pod is available, the seconds until it will be when it is only ready, None when it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds == 0:
        return 0.0
    since_s = ready_since_s(pod)
    return None if since_s is None else max(0.0, since_s + min_ready_seconds - now_s)


def is_available(pod: Pod, min_ready_seconds: int, now_s: float) -> bool:
    return available_in_s(pod, min_ready_seconds, now_s) == 0.0


def created_s(obj: Object) -> float:
    stamp = obj.metadata.creation_timestamp
    return parse_rfc3339(stamp) if stamp else float("inf")


def deletion_cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST_ANNOTATION, "0"))
    except ValueError:  # validation refuses these; an old object must not stop a scale-down
        return 0


def order_of_deletion(pods: Sequence[Pod], related: Iterable[Pod]) -> list[Pod]:
    """Those whose loss hurts least first (Kubernetes' ActivePodsWithRanks).

    `related` are the active pods that share a controller's purpose: of two equals the one on the fuller node goes."""
    crowd: dict[str, int] = {}
    for pod in related:
        crowd[pod.spec.node_name] = crowd.get(pod.spec.node_name, 0) + 1

    def rank(pod: Pod) -> tuple[float, ...]:
        since_s = ready_since_s(pod)
        return (
            1 if pod.spec.node_name else 0,
            _PHASE_RANK.get(pod.status.phase, 0),
            1 if is_ready(pod) else 0,
            deletion_cost(pod),
            -crowd.get(pod.spec.node_name, 0),
            -(since_s if since_s is not None else float("inf")),
            -max((status.restart_count for status in pod.status.container_statuses), default=0),
            -created_s(pod),
        )

    return sorted(pods, key=rank)
