"""Init containers: one after the other, each to success, before the pod's own containers; sidecars stay running. Pure.

They belong to their sandbox: with a new sandbox all of them run again, unless the pod must never restart anything.
"""

import msgspec

from master.api.core.container import Container
from master.api.core.pod import Pod
from node.engine.base import ContainerState
from node.facts import Facts, Waiting, probe_of
from node.restarts import (
    NEVER,
    RestartBackoff,
    init_may_restart,
    is_sidecar,
    next_backoff,
    policy_of,
    restart_wait_s,
)
from node.runtime import EXITED, RUNNING, PodRuntime


class InitStart(msgspec.Struct, frozen=True):
    name: str
    attempt: int
    backoff: RestartBackoff | None = None
    leftover_id: str = ""
    """A container of the same attempt that was made and never started; it has to go first."""


class InitProgress(msgspec.Struct):
    """`done`: the pod's own containers may start."""

    done: bool = False
    starts: list[InitStart] = []
    waiting: dict[str, Waiting] = {}
    wake_at_s: float | None = None


def plan_init(pod: Pod, runtime: PodRuntime, sandbox_id: str, facts: Facts) -> InitProgress:
    progress = InitProgress()
    initialized = is_initialized(pod, runtime, sandbox_id)
    for container in pod.spec.init_containers:
        latest = runtime.latest(container.name)
        scoped = latest if latest is not None and _counts(pod, latest, sandbox_id) else None
        if is_sidecar(container):
            passed = _plan_sidecar(progress, pod, container, latest, scoped, facts)
        else:
            passed = initialized or _plan_step(progress, pod, container, latest, scoped, facts)
        if not passed and not initialized:
            return progress
    progress.done = True
    return progress


def is_initialized(pod: Pod, runtime: PodRuntime, sandbox_id: str) -> bool:
    """Once one of the pod's own containers was started in this sandbox, initialization is behind it."""
    own = {container.name for container in pod.spec.containers}
    return any(state.name in own and _counts(pod, state, sandbox_id) for state in runtime.containers)


def _counts(pod: Pod, state: ContainerState, sandbox_id: str) -> bool:
    return state.sandbox_id == sandbox_id or policy_of(pod) == NEVER


def _plan_step(
    progress: InitProgress,
    pod: Pod,
    container: Container,
    latest: ContainerState | None,
    scoped: ContainerState | None,
    facts: Facts,
) -> bool:
    """An ordinary init container; whether it has succeeded."""
    if scoped is None:
        attempt = 0 if latest is None else latest.attempt + 1
        progress.starts.append(InitStart(container.name, attempt))
    elif scoped.state == EXITED and scoped.exit_code == 0:
        return True
    elif scoped.state == EXITED and init_may_restart(policy_of(pod)):
        _restart(progress, container.name, scoped, facts)
    elif scoped.state not in (EXITED, RUNNING):
        progress.starts.append(InitStart(container.name, scoped.attempt, None, scoped.id))
    return False


def _plan_sidecar(
    progress: InitProgress,
    pod: Pod,
    container: Container,
    latest: ContainerState | None,
    scoped: ContainerState | None,
    facts: Facts,
) -> bool:
    """An init container that stays; whether it runs and has started, so that the next may begin."""
    if scoped is not None and scoped.state == RUNNING:
        return probe_of(facts, scoped.id).started
    if scoped is None:
        attempt = 0 if latest is None else latest.attempt + 1
        progress.starts.append(InitStart(container.name, attempt))
    elif scoped.state == EXITED:
        _restart(progress, container.name, scoped, facts)
    else:
        progress.starts.append(InitStart(container.name, scoped.attempt, None, scoped.id))
    return False


def _restart(progress: InitProgress, name: str, ended: ContainerState, facts: Facts) -> None:
    backoff = facts.backoffs.get(name)
    wait_s = restart_wait_s(backoff, ended.finished_at, facts.now_s)
    if wait_s <= 0:
        progress.starts.append(
            InitStart(name, ended.attempt + 1, next_backoff(backoff, facts.now_s, ended.finished_at))
        )
        return
    progress.waiting[name] = Waiting("CrashLoopBackOff", f"back-off restarting failed container={name}")
    due_s = facts.now_s + wait_s
    progress.wake_at_s = due_s if progress.wake_at_s is None else min(progress.wake_at_s, due_s)
