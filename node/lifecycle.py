"""The kubelet's mind: a pod's spec, what runs of it and what else is known → what to do next, and the status. Pure.

`decide` is called again and again with a fresh view; it never assumes that an earlier order was carried out. The
worker executes the actions in order, looks at the engine again and asks again, until nothing is left to do.
An order that cannot be carried out yet (an image on its way) is simply given again.
"""

import msgspec

from master.api.core.container import Container
from master.api.core.pod import Pod, PodStatus
from node.facts import Ending, Facts, Waiting, probe_of
from node.history import is_lost, with_lost
from node.initcontainers import InitProgress, plan_init
from node.podstatus import compute_status
from node.restarts import RestartBackoff, is_sidecar, may_restart, next_backoff, policy_of, restart_wait_s
from node.runtime import EXITED, RUNNING, PodRuntime
from node.steps import (
    Action,
    CreateSandbox,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
)

HASH_LABEL = "io.kubernetes.container.hash"
DEFAULT_GRACE_S = 30.0
LEAST_GRACE_S = 2.0
"""What is left for a container that is stopped late in the pod's grace period (the kubelet's minimum too)."""
KEPT_DEAD = 1
"""Dead attempts of a container kept for `logs --previous`, as the kubelet does by default."""


class Decision(msgspec.Struct, frozen=True):
    """`finished`: nothing of the pod is left at the engine, or it has ended for good."""

    plan: Plan
    status: PodStatus

    @property
    def finished(self) -> bool:
        return self.plan.finished


def decide(pod: Pod, runtime: PodRuntime, facts: Facts) -> Decision:
    """What to do for the pod now, and what to tell the API about it."""
    seen = with_lost(runtime, facts.prior)
    plan = _plan(pod, seen, facts)
    return Decision(plan, compute_status(pod, seen, facts, plan))


def _plan(pod: Pod, runtime: PodRuntime, facts: Facts) -> Plan:
    if facts.ending is not None:
        return plan_ending(pod, runtime, facts.ending, facts.now_s)
    if has_ended(pod, runtime, facts):
        grace_s = float(pod.spec.termination_grace_period_seconds or DEFAULT_GRACE_S)
        return plan_ending(pod, runtime, Ending(grace_s, facts.now_s, remove=False), facts.now_s)
    live = runtime.live_sandbox()
    if live is None:
        return _plan_sandbox(pod, runtime)
    plan = Plan()
    for orphan in [state for state in runtime.running() if state.sandbox_id != live.id]:
        plan.actions.append(_stop(orphan.id, orphan.name, DEFAULT_GRACE_S, "its sandbox is gone"))
    for sandbox in runtime.sandboxes[1:]:
        if sandbox.running:
            plan.actions.append(StopSandbox(sandbox.id))
    init = plan_init(pod, runtime, live.id, facts)
    _take_init(plan, init)
    if init.done:
        for container in pod.spec.containers:
            _plan_container(plan, pod, container, runtime, facts, live.id)
    _plan_probe_failures(plan, pod, runtime, facts)
    plan.actions.extend(_outdated(runtime))
    return plan


# The natural end.


def has_ended(pod: Pod, runtime: PodRuntime, facts: Facts) -> bool:
    """Whether the pod has run to its end by itself: no container may run again."""
    if facts.prior.phase in ("Succeeded", "Failed"):
        return True
    policy = policy_of(pod)
    if _init_failed_for_good(pod, runtime):
        return True
    for container in pod.spec.containers:
        latest = runtime.latest(container.name)
        if latest is None or latest.state != EXITED or may_restart(container.restart_policy or policy, latest):
            return False
    return bool(pod.spec.containers)


def _init_failed_for_good(pod: Pod, runtime: PodRuntime) -> bool:
    if policy_of(pod) != "Never":
        return False
    for container in pod.spec.init_containers:
        latest = runtime.latest(container.name)
        if not is_sidecar(container) and latest is not None and latest.state == EXITED and latest.exit_code != 0:
            return True
    return False


# The ordered end.


def plan_ending(pod: Pod, runtime: PodRuntime, ending: Ending, now_s: float) -> Plan:
    """Stop the containers (sidecars last), then the sandbox; with `remove` clear away what they left."""
    plan = Plan()
    sidecars = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    left_s = ending.started_s + ending.grace_s - now_s
    grace_s = ending.grace_s if left_s >= ending.grace_s else max(left_s, min(LEAST_GRACE_S, ending.grace_s))
    running = runtime.running()
    first = [state for state in running if state.name not in sidecars] or running
    if first:
        plan.actions.extend(_stop(state.id, state.name, grace_s, "") for state in first)
        return plan
    alive = [sandbox for sandbox in runtime.sandboxes if sandbox.running]
    if alive:
        plan.actions.extend(StopSandbox(sandbox.id) for sandbox in alive)
        return plan
    if ending.remove:
        plan.actions.extend(RemoveContainer(state.id) for state in runtime.containers if not is_lost(state))
        plan.actions.extend(RemoveSandbox(sandbox.id) for sandbox in runtime.sandboxes)
    plan.finished = not plan.actions
    return plan


# The running pod.


def _plan_sandbox(pod: Pod, runtime: PodRuntime) -> Plan:
    """No sandbox lives: clear what still runs of the old one, then make the next."""
    plan = Plan()
    running = runtime.running()
    if running:
        plan.actions.extend(_stop(state.id, state.name, LEAST_GRACE_S, "the pod's sandbox died") for state in running)
        return plan
    newest = runtime.sandbox()
    plan.actions.append(CreateSandbox(0 if newest is None else newest.attempt + 1))
    return plan


def _plan_container(
    plan: Plan, pod: Pod, container: Container, runtime: PodRuntime, facts: Facts, sandbox_id: str
) -> None:
    latest = runtime.latest(container.name)
    if latest is None:
        plan.actions.append(StartContainer(container.name, 0))
        return
    if latest.state == RUNNING:
        if latest.sandbox_id == sandbox_id:
            _plan_redefined(plan, container, latest.id, latest.labels.get(HASH_LABEL, ""), facts)
        return
    if latest.state != EXITED:  # made but never started, by a kubelet that was killed in between
        plan.actions += [RemoveContainer(latest.id), StartContainer(container.name, latest.attempt)]
        return
    if may_restart(container.restart_policy or policy_of(pod), latest):
        plan_restart(plan, pod, container.name, latest.attempt + 1, latest.finished_at, facts)


def plan_restart(plan: Plan, pod: Pod, name: str, attempt: int, finished_s: float, facts: Facts) -> None:
    """Start the container again, now or once its back-off is over."""
    backoff = facts.backoffs.get(name)
    wait_s = restart_wait_s(backoff, finished_s, facts.now_s)
    if wait_s <= 0:
        plan.actions.append(StartContainer(name, attempt, next_backoff(backoff, facts.now_s, finished_s)))
        return
    plan.wake_at(facts.now_s + wait_s)
    plan.waiting[name] = crash_loop(pod, name, backoff)


def crash_loop(pod: Pod, name: str, backoff: RestartBackoff | None) -> Waiting:
    delay = "" if backoff is None else _go_duration(backoff.delay_s)
    meta = pod.metadata
    where = f"pod={meta.name}_{meta.namespace}({meta.uid})"
    return Waiting("CrashLoopBackOff", f"back-off {delay} restarting failed container={name} {where}")


def _plan_redefined(plan: Plan, container: Container, state_id: str, made_from: str, facts: Facts) -> None:
    wanted = facts.hashes.get(container.name, "")
    if made_from and wanted and made_from != wanted:
        why = f"Container {container.name} definition changed, will be restarted"
        plan.actions.append(_stop(state_id, container.name, DEFAULT_GRACE_S, why))


def _plan_probe_failures(plan: Plan, pod: Pod, runtime: PodRuntime, facts: Facts) -> None:
    for state in runtime.running():
        view = probe_of(facts, state.id)
        if view.failed:
            grace_s = view.grace_s
            if grace_s is None:
                grace_s = float(pod.spec.termination_grace_period_seconds or DEFAULT_GRACE_S)
            why = f"Container {state.name} failed {view.failed.lower()} probe, will be restarted"
            plan.actions.append(_stop(state.id, state.name, grace_s, why))


def _take_init(plan: Plan, init: InitProgress) -> None:
    for start in init.starts:
        if start.leftover_id:
            plan.actions.append(RemoveContainer(start.leftover_id))
        plan.actions.append(StartContainer(start.name, start.attempt, start.backoff))
    plan.waiting.update(init.waiting)
    if init.wake_at_s is not None:
        plan.wake_at(init.wake_at_s)


def _outdated(runtime: PodRuntime) -> list[Action]:
    """Dead attempts beyond those kept for their logs, then dead sandboxes that nothing refers to."""
    actions: list[Action] = []
    kept_sandboxes: set[str] = set()
    for name in sorted({state.name for state in runtime.containers}):
        attempts = [state for state in runtime.attempts(name) if not is_lost(state)]
        kept, old = attempts[: KEPT_DEAD + 1], attempts[KEPT_DEAD + 1 :]
        kept_sandboxes.update(state.sandbox_id for state in kept)
        actions.extend(RemoveContainer(state.id) for state in old if state.state == EXITED)
    for sandbox in runtime.sandboxes[1:]:
        if not sandbox.running and sandbox.id not in kept_sandboxes:
            actions.append(RemoveSandbox(sandbox.id))
    return actions


def _stop(state_id: str, name: str, grace_s: float, why: str) -> StopContainer:
    return StopContainer(state_id, name, grace_s, why or f"Stopping container {name}")


def _go_duration(seconds: float) -> str:
    """As Go prints it: 40s, 1m20s, 5m0s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
