"""The status of a pod as the API shows it, out of spec, runtime and facts. Pure.

Reasons and messages are the kubelet's own, because people and tests match on them.
"""

from master.api.core.container import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    VolumeMountStatus,
)
from master.api.core.pod import HostIP, Pod, PodIP, PodStatus
from master.api.timestamps import now_rfc3339
from node.engine.base import ContainerState as EngineState
from node.facts import Facts, Waiting, probe_of
from node.podconditions import compute_conditions
from node.qos import qos_class
from node.restarts import is_sidecar, may_restart, policy_of
from node.runtime import EXITED, RUNNING, PodRuntime
from node.steps import Plan

CREATING = Waiting("ContainerCreating")
INITIALIZING = Waiting("PodInitializing")


def compute_status(pod: Pod, runtime: PodRuntime, facts: Facts, plan: Plan) -> PodStatus:
    """The whole status; what belongs to others (foreign conditions, nominatedNodeName) is kept."""
    prior = facts.prior
    init = [_container_status(pod, each, runtime, facts, plan, is_init=True) for each in pod.spec.init_containers]
    own = [_container_status(pod, each, runtime, facts, plan, is_init=False) for each in pod.spec.containers]
    ending = facts.ending
    live = runtime.live_sandbox()
    has_ip = live is not None and bool(facts.pod_ip)
    # The address stays in the status of a pod that has ended, as upstream: its last known one.
    pod_ip = facts.pod_ip if has_ip else prior.pod_ip
    status = PodStatus(
        phase=compute_phase(pod, init, own, runtime, facts),
        conditions=prior.conditions,
        message=prior.message,
        reason=prior.reason,
        host_ip=facts.host_ip,
        host_ips=[HostIP(ip=facts.host_ip)] if facts.host_ip else [],
        pod_ip=pod_ip,
        pod_ips=[PodIP(ip=pod_ip)] if pod_ip else [],
        start_time=prior.start_time or now_rfc3339(facts.now_s),
        init_container_statuses=init,
        container_statuses=own,
        qos_class=prior.qos_class or qos_class(pod),
        nominated_node_name=prior.nominated_node_name,
        ephemeral_container_statuses=prior.ephemeral_container_statuses,
        observed_generation=facts.generation,
    )
    if ending is not None and ending.reason:
        status.reason, status.message = ending.reason, ending.message
    status.conditions = compute_conditions(pod, status, prior, has_ip, facts)
    return status


# Containers.


def _container_status(
    pod: Pod, container: Container, runtime: PodRuntime, facts: Facts, plan: Plan, *, is_init: bool
) -> ContainerStatus:
    attempts = runtime.attempts(container.name)
    latest = attempts[0] if attempts else None
    held_back = plan.waiting.get(container.name) or facts.waiting.get(container.name)
    status = ContainerStatus(
        name=container.name,
        image=container.image,
        volume_mounts=[
            _mount_status(mount.name, mount.mount_path, mount.read_only) for mount in container.volume_mounts
        ],
        resources=container.resources,
        started=False,
    )
    if latest is None:
        status.state = _waiting(held_back or _not_begun(pod, runtime, is_init))
        return status
    status.restart_count = latest.attempt
    status.image = latest.image or container.image
    status.image_id = latest.image_id
    status.container_id = f"{facts.engine}://{latest.id}" if latest.id else ""
    previous = next((state for state in attempts[1:] if state.state == EXITED), None)
    if previous is not None:
        status.last_state = ContainerState(terminated=terminated(previous, facts))
    if latest.state == RUNNING:
        _fill_running(status, latest, facts, is_init and not is_sidecar(container))
    elif latest.state == EXITED:
        _fill_ended(status, latest, held_back, facts, is_init and not is_sidecar(container))
    else:
        status.state = _waiting(held_back or CREATING)
    return status


def _fill_running(status: ContainerStatus, state: EngineState, facts: Facts, is_step: bool) -> None:
    """A running init step is never ready; it is ready when it has ended well."""
    view = probe_of(facts, state.id)
    status.state = ContainerState(running=ContainerStateRunning(started_at=_time(state.started_at)))
    status.started = view.started
    status.ready = view.started and view.ready and not is_step


def _fill_ended(
    status: ContainerStatus, state: EngineState, held_back: Waiting | None, facts: Facts, is_step: bool
) -> None:
    ended = ContainerState(terminated=terminated(state, facts))
    if held_back is not None and facts.ending is None:
        status.state, status.last_state = _waiting(held_back), ended
    else:
        status.state = ended
    status.ready = is_step and state.exit_code == 0


def terminated(state: EngineState, facts: Facts) -> ContainerStateTerminated:
    exit_code = state.exit_code if state.exit_code is not None else 137
    # An engine may report an OOM kill of a mere child while the container itself ended well.
    reason = "OOMKilled" if state.oom_killed and exit_code != 0 else "Completed" if exit_code == 0 else "Error"
    if state.reason and reason == "Error" and state.reason not in ("Completed", "OOMKilled"):
        reason = state.reason
    return ContainerStateTerminated(
        exit_code=exit_code,
        reason=reason,
        message=facts.messages.get(state.id, ""),
        started_at=_time(state.started_at),
        finished_at=_time(state.finished_at),
        container_id=f"{facts.engine}://{state.id}" if state.id else "",
    )


def _not_begun(pod: Pod, runtime: PodRuntime, is_init: bool) -> Waiting:
    return INITIALIZING if pod.spec.init_containers else CREATING


def _waiting(why: Waiting) -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason=why.reason, message=why.message))


def _mount_status(name: str, path: str, read_only: bool) -> VolumeMountStatus:
    return VolumeMountStatus(name=name, mount_path=path, read_only=read_only)


def _time(epoch_s: float) -> str | None:
    return now_rfc3339(epoch_s) if epoch_s > 0 else None


# The phase.


def compute_phase(
    pod: Pod, init: list[ContainerStatus], own: list[ContainerStatus], runtime: PodRuntime, facts: Facts
) -> str:
    """Pending, Running, Succeeded or Failed; the last two are final."""
    if facts.prior.phase in ("Succeeded", "Failed"):
        return facts.prior.phase
    ending = facts.ending
    if ending is not None and ending.reason:
        return "Failed"
    if ending is not None and not runtime.running() and not any(sandbox.running for sandbox in runtime.sandboxes):
        return "Succeeded" if own and all(_succeeded(status) for status in own) else "Failed"
    if _init_failed(pod, init):
        return "Failed"
    if not _all_begun(pod, init, own):
        return "Pending"
    return _phase_of_begun(pod, own, runtime)


def _all_begun(pod: Pod, init: list[ContainerStatus], own: list[ContainerStatus]) -> bool:
    """Whether every container has run at least once, and initialization is over."""
    if any(status.state.waiting is not None and status.last_state.terminated is None for status in own):
        return False
    if any(status.state.running is not None for status in own):
        return True
    specs = pod.spec.init_containers
    return all(_succeeded(status) for spec, status in zip(specs, init, strict=True) if not is_sidecar(spec))


def _phase_of_begun(pod: Pod, own: list[ContainerStatus], runtime: PodRuntime) -> str:
    if any(status.state.running is not None for status in own):
        return "Running"
    policy = policy_of(pod)
    for spec in pod.spec.containers:
        latest = runtime.latest(spec.name)
        if latest is None or latest.state != EXITED or may_restart(spec.restart_policy or policy, latest):
            return "Running"
    sidecars = {spec.name for spec in pod.spec.init_containers if is_sidecar(spec)}
    if any(state.name in sidecars for state in runtime.running()):
        return "Running"  # the end is told once the sidecars have stopped too
    return "Succeeded" if all(_succeeded(status) for status in own) else "Failed"


def _init_failed(pod: Pod, init: list[ContainerStatus]) -> bool:
    if policy_of(pod) != "Never":
        return False
    return any(
        status.state.terminated is not None and status.state.terminated.exit_code != 0
        for spec, status in zip(pod.spec.init_containers, init, strict=True)
        if not is_sidecar(spec)
    )


def _succeeded(status: ContainerStatus) -> bool:
    ended = status.state.terminated
    return ended is not None and ended.exit_code == 0
