"""The row of a pod in a table: what `kubectl get pods` prints, above all the Status column.

The rules are Kubernetes' own printer's; people read this column before anything else."""

from typing import TYPE_CHECKING, NamedTuple

from master.api.core.container import ContainerState, ContainerStatus
from master.api.resource import Cell
from master.api.timestamps import age, human_duration, parse_rfc3339

if TYPE_CHECKING:
    from master.api.core.pod import Pod


class _Progress(NamedTuple):
    """What a walk over container statuses found."""

    reason: str
    ready: int
    restarts: int
    last_restart: str
    initializing: bool


def pod_cells(pod: "Pod", now_s: float) -> list[Cell]:
    progress = _progress(pod)
    restarts = str(progress.restarts)
    if progress.restarts and progress.last_restart:
        restarts += f" ({human_duration(now_s - parse_rfc3339(progress.last_restart))} ago)"
    status = pod.status
    return [
        pod.metadata.name,
        f"{progress.ready}/{_total(pod)}",
        _with_deletion(pod, progress.reason),
        restarts,
        age(pod.metadata.creation_timestamp, now_s),
        status.pod_ips[0].ip if status.pod_ips else status.pod_ip or "<none>",
        pod.spec.node_name or "<none>",
        status.nominated_node_name or "<none>",
        _gates(pod),
    ]


def finished_condition(pod: "Pod") -> dict[str, str] | None:
    """The row condition of a finished pod; kubectl greys such rows out."""
    messages = {
        "Succeeded": "The pod has completed successfully.",
        "Failed": "The pod failed.",
    }
    message = messages.get(pod.status.phase)
    if message is None:
        return None
    return {"type": "Completed", "status": "True", "reason": pod.status.phase, "message": message}


def _total(pod: "Pod") -> int:
    return len(pod.spec.containers) + len(_sidecars(pod))


def _sidecars(pod: "Pod") -> set[str]:
    return {container.name for container in pod.spec.init_containers if container.restart_policy == "Always"}


def _progress(pod: "Pod") -> _Progress:
    reason = pod.status.reason or pod.status.phase
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            reason = "SchedulingGated"
    before = _init_progress(pod, reason)
    if before.initializing and not _is_true(pod, "Initialized"):
        return before
    return _main_progress(pod, before)


def _init_progress(pod: "Pod", reason: str) -> _Progress:
    """The walk over init containers: stops at the first that is not done."""
    sidecars = _sidecars(pod)
    ready = restarts = sidecar_restarts = 0
    last = sidecar_last = ""
    statuses = pod.status.init_container_statuses
    for index, status in enumerate(statuses):
        sidecar = status.name in sidecars
        restarts += status.restart_count
        last = max(last, _last_finished(status))
        if sidecar:
            sidecar_restarts += status.restart_count
            sidecar_last = max(sidecar_last, _last_finished(status))
        terminated = status.state.terminated
        if terminated is not None and terminated.exit_code == 0:
            continue
        if sidecar and status.started:
            ready += status.ready
            continue
        return _Progress(_init_reason(status.state, index, len(pod.spec.init_containers)), ready, restarts, last, True)
    return _Progress(reason, ready, sidecar_restarts, sidecar_last, False)


def _init_reason(state: ContainerState, index: int, total: int) -> str:
    if state.terminated is not None:
        return "Init:" + (_terminated_reason(state) or "")
    if state.waiting is not None and state.waiting.reason not in ("", "PodInitializing"):
        return f"Init:{state.waiting.reason}"
    return f"Init:{index}/{total}"


def _terminated_reason(state: ContainerState) -> str:
    terminated = state.terminated
    if terminated is None:
        return ""
    if terminated.reason:
        return terminated.reason
    return f"Signal:{terminated.signal}" if terminated.signal else f"ExitCode:{terminated.exit_code}"


def _main_progress(pod: "Pod", before: _Progress) -> _Progress:
    """The walk over containers, from last to first, so that the first container wins."""
    reason, ready, restarts, last = before.reason, before.ready, before.restarts, before.last_restart
    if before.initializing:  # Initialized is True all the same
        restarts, last = 0, ""
        reason = pod.status.reason or pod.status.phase
    running = False
    failure = ""
    for status in reversed(pod.status.container_statuses):
        restarts += status.restart_count
        last = max(last, _last_finished(status))
        if status.state.waiting is not None and status.state.waiting.reason:
            reason = status.state.waiting.reason
        elif status.state.terminated is not None:
            reason = _terminated_reason(status.state)
            if status.state.terminated.exit_code != 0:
                failure = reason
        elif status.ready and status.state.running is not None:
            running = True
            ready += 1
    if reason == "Completed":
        if running and _is_true(pod, "Ready"):
            reason = "Running"
        elif failure:
            reason = failure
        elif running:
            reason = "NotReady"
    return _Progress(reason, ready, restarts, last, False)


def _with_deletion(pod: "Pod", reason: str) -> str:
    if pod.metadata.deletion_timestamp is None:
        return reason
    if pod.status.reason == "NodeLost":
        return "Unknown"
    return reason if pod.status.phase in ("Succeeded", "Failed") else "Terminating"


def _last_finished(status: ContainerStatus) -> str:
    terminated = status.last_state.terminated
    return (terminated.finished_at or "") if terminated is not None else ""


def _is_true(pod: "Pod", condition_type: str) -> bool:
    return any(condition.type == condition_type and condition.status == "True" for condition in pod.status.conditions)


def _gates(pod: "Pod") -> str:
    gates = [gate.condition_type for gate in pod.spec.readiness_gates]
    return f"{sum(_is_true(pod, gate) for gate in gates)}/{len(gates)}" if gates else "<none>"
