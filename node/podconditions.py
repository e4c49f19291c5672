"""The conditions that the kubelet owns: PodReadyToStartContainers, Initialized, ContainersReady, Ready. Pure.

PodScheduled is kept as the binding set it (and given to static pods, which nobody scheduled). Conditions of other
writers are passed through untouched.
"""

from collections.abc import Callable

from master.api.core.container import ContainerStatus
from master.api.core.pod import Pod, PodCondition, PodStatus
from master.api.timestamps import now_rfc3339
from node.facts import Facts
from node.restarts import is_sidecar

OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def compute_conditions(
    pod: Pod, status: PodStatus, prior: PodStatus, has_network: bool, facts: Facts
) -> list[PodCondition]:
    containers_ready = _containers_ready(status)
    computed = {
        "PodReadyToStartContainers": _condition("PodReadyToStartContainers", has_network),
        "Initialized": _initialized(pod, status),
        "Ready": _ready(pod, prior, containers_ready),
        "ContainersReady": containers_ready,
    }
    before = {condition.type: condition for condition in prior.conditions}
    if "PodScheduled" not in before:
        computed["PodScheduled"] = _condition("PodScheduled", True)
    for condition in computed.values():
        _keep_transition(condition, before.get(condition.type), facts)
    kept = [condition for condition in prior.conditions if condition.type not in computed]
    return sorted([*computed.values(), *kept], key=_place)


def _place(condition: PodCondition) -> int:
    return OWNED.index(condition.type) if condition.type in OWNED else len(OWNED)


def _keep_transition(condition: PodCondition, before: PodCondition | None, facts: Facts) -> None:
    condition.observed_generation = facts.generation
    if before is not None and before.status == condition.status and before.last_transition_time:
        condition.last_transition_time = before.last_transition_time
    else:
        condition.last_transition_time = now_rfc3339(facts.now_s)


def _condition(type: str, holds: bool, reason: str = "", message: str = "") -> PodCondition:
    return PodCondition(type=type, status="True" if holds else "False", reason=reason, message=message)


def _initialized(pod: Pod, status: PodStatus) -> PodCondition:
    if status.phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    pairs = zip(pod.spec.init_containers, status.init_container_statuses, strict=True)
    begun = any(_has_begun(each) for each in status.container_statuses)
    missing = [spec.name for spec, each in pairs if not _is_through(is_sidecar(spec), each, begun)]
    if missing:
        message = f"containers with incomplete status: [{' '.join(missing)}]"
        return _condition("Initialized", False, "ContainersNotInitialized", message)
    return _condition("Initialized", True)


def _is_through(sidecar: bool, status: ContainerStatus, begun: bool) -> bool:
    """A pod whose own containers have begun was initialized, whatever its sidecars do since."""
    if sidecar:
        return begun or bool(status.started)
    return status.ready or begun


def _has_begun(status: ContainerStatus) -> bool:
    return status.state.waiting is None or status.last_state.terminated is not None


def _containers_ready(status: PodStatus) -> PodCondition:
    """Sidecars count too: a pod whose proxy is not ready cannot serve."""
    if status.phase == "Succeeded":
        return _condition("ContainersReady", False, "PodCompleted")
    if status.phase == "Failed":
        return _condition("ContainersReady", False, "PodFailed")
    unready = _names(status, lambda each: not each.ready)
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return _condition("ContainersReady", False, "ContainersNotReady", message)
    return _condition("ContainersReady", True)


def _names(status: PodStatus, is_so: Callable[[ContainerStatus], bool]) -> list[str]:
    return [each.name for each in (*status.init_container_statuses, *status.container_statuses) if is_so(each)]


def _ready(pod: Pod, prior: PodStatus, containers_ready: PodCondition) -> PodCondition:
    if containers_ready.status != "True":
        return _condition("Ready", False, containers_ready.reason, containers_ready.message)
    given = {condition.type: condition.status for condition in prior.conditions}
    missing = [gate.condition_type for gate in pod.spec.readiness_gates if given.get(gate.condition_type) != "True"]
    if not missing:
        return _condition("Ready", True)
    told = "; ".join(
        f'corresponding condition of pod readiness gate "{gate}" does not exist.'
        if gate not in given
        else f'the status of pod readiness gate "{gate}" is not "True", but {given[gate]}'
        for gate in missing
    )
    return _condition("Ready", False, "ReadinessGatesNotReady", told)
