"""The kubelet's decisions, driven round by round against a simulated engine."""

from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from master.api.core.pod import Pod, PodStatus
from node.engine.base import ContainerState, SandboxState
from node.facts import Ending, Facts, ProbeView, Waiting
from node.lifecycle import Decision, decide
from node.restarts import RestartBackoff
from node.runtime import PodRuntime, group_by_pod
from node.steps import (
    CreateSandbox,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
)

START_S = 1_700_000_000.0
MAX_ROUNDS = 60


def make_pod(
    containers: list[str] | None = None, init: list[dict[str, Any]] | None = None, policy: str = "Always", **spec: Any
) -> Pod:
    names = containers if containers is not None else ["app"]
    tree = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u1", "generation": 1},
        "spec": {
            "containers": [{"name": name, "image": f"img-{name}:1"} for name in names],
            "initContainers": [{"image": "img:1", **each} for each in init or []],
            "restartPolicy": policy,
            **spec,
        },
    }
    return msgspec.convert(tree, Pod)


class World:
    """An engine in memory, and the worker's memory beside it."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.now_s = START_S
        self.sandboxes: dict[str, SandboxState] = {}
        self.containers: dict[str, ContainerState] = {}
        self.status = PodStatus()
        self.backoffs: dict[str, RestartBackoff] = {}
        self.probes: dict[str, ProbeView] = {}
        self.waiting: dict[str, Waiting] = {}
        self.ending: Ending | None = None
        self.serial = 0
        self.started: list[tuple[str, int]] = []
        self.last: Decision | None = None

    def runtime(self) -> PodRuntime:
        found = group_by_pod(self.sandboxes.values(), self.containers.values(), self.now_s)
        return found.get(self.pod.metadata.uid, PodRuntime(self.pod.metadata.uid))

    def round(self) -> Decision:
        live = self.runtime().live_sandbox()
        facts = Facts(
            now_s=self.now_s,
            prior=self.status,
            host_ip="10.0.0.1",
            pod_ip="10.91.0.2" if live else "",
            generation=1,
            waiting=self.waiting,
            probes=self.probes,
            backoffs=self.backoffs,
            ending=self.ending,
        )
        decision = decide(self.pod, self.runtime(), facts)
        self.status = decision.status
        for step in decision.plan.actions:
            self.carry_out(step)
        self.last = decision
        return decision

    def carry_out(self, step: Any) -> None:
        self.serial += 1
        match step:
            case CreateSandbox(attempt):
                sandbox_id = f"s{self.serial}"
                self.sandboxes[sandbox_id] = SandboxState(
                    id=sandbox_id, pod_uid="u1", name="web", namespace="default", attempt=attempt, running=True
                )
            case StartContainer(name, attempt, backoff):
                live = self.runtime().live_sandbox()
                assert live is not None, "a container was started without a sandbox"
                container_id = f"c{self.serial}"
                self.containers[container_id] = ContainerState(
                    id=container_id,
                    sandbox_id=live.id,
                    pod_uid="u1",
                    name=name,
                    attempt=attempt,
                    image="img:1",
                    image_id="sha256:1",
                    state="running",
                    started_at=self.now_s,
                    created_at=self.now_s,
                )
                self.started.append((name, attempt))
                if backoff is not None:
                    self.backoffs[name] = backoff
            case StopContainer(container_id):
                self.exit_id(container_id, 143)
            case StopSandbox(sandbox_id):
                self.kill_sandbox(sandbox_id)
            case RemoveContainer(container_id):
                self.containers.pop(container_id, None)
            case RemoveSandbox(sandbox_id):
                self.sandboxes.pop(sandbox_id, None)

    def kill_sandbox(self, sandbox_id: str) -> None:
        self.sandboxes[sandbox_id] = msgspec.structs.replace(self.sandboxes[sandbox_id], running=False)
        for state in list(self.containers.values()):
            if state.sandbox_id == sandbox_id and state.state == "running":
                self.exit_id(state.id, 137)

    def exit_id(self, container_id: str, code: int) -> None:
        state = self.containers[container_id]
        if state.state == "running":
            ended = msgspec.structs.replace(state, state="exited", exit_code=code, finished_at=self.now_s)
            self.containers[container_id] = ended

    def exit(self, name: str, code: int) -> None:
        latest = self.runtime().latest(name)
        assert latest is not None
        self.exit_id(latest.id, code)

    def settle(self) -> Decision:
        """Rounds until nothing is left to do at this moment."""
        for _ in range(MAX_ROUNDS):
            decision = self.round()
            if not decision.plan.actions:
                return decision
        raise AssertionError(f"the pod does not come to rest: {decision.plan.actions}")

    def running(self) -> set[str]:
        return {state.name for state in self.runtime().running()}

    def container(self, name: str) -> Any:
        statuses = [*self.status.container_statuses, *self.status.init_container_statuses]
        return next(status for status in statuses if status.name == name)

    def condition(self, type: str) -> Any:
        return next(each for each in self.status.conditions if each.type == type)


def test_a_new_pod_gets_a_sandbox_then_all_its_containers() -> None:
    world = World(make_pod(["a", "b"]))
    first = world.round()
    assert first.plan.actions == [CreateSandbox(0)]
    assert first.status.phase == "Pending"
    assert first.status.container_statuses[0].state.waiting.reason == "ContainerCreating"
    world.settle()
    assert world.running() == {"a", "b"}
    assert world.status.phase == "Running"
    assert world.condition("Ready").status == "True"
    assert world.status.pod_ip == "10.91.0.2"
    assert world.container("a").ready and world.container("a").started
    assert world.status.observed_generation == 1


def test_init_containers_run_one_after_the_other_before_the_pod_is_initialized() -> None:
    world = World(make_pod(["app"], [{"name": "one"}, {"name": "two"}]))
    world.settle()
    assert world.running() == {"one"}
    assert world.condition("Initialized").status == "False"
    assert world.container("app").state.waiting.reason == "PodInitializing"
    world.exit("one", 0)
    world.settle()
    assert world.running() == {"two"}
    world.exit("two", 0)
    world.settle()
    assert world.running() == {"app"}
    assert world.condition("Initialized").status == "True"
    assert world.container("one").ready and world.container("one").state.terminated.reason == "Completed"


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    world = World(make_pod(["app"], [{"name": "one"}], policy="Never"))
    world.settle()
    world.exit("one", 3)
    world.settle()
    assert world.status.phase == "Failed"
    assert world.started == [("one", 0)]


def test_a_sidecar_runs_beside_the_pod_and_stops_after_it() -> None:
    world = World(make_pod(["app"], [{"name": "side", "restartPolicy": "Always"}], policy="Never"))
    world.settle()
    assert world.running() == {"side", "app"}
    assert world.status.phase == "Running"
    world.exit("side", 1)
    world.settle()
    assert world.running() == {"side", "app"}
    world.exit("app", 0)
    world.settle()
    assert world.running() == set()
    assert world.status.phase == "Succeeded"


def test_a_crash_is_restarted_at_once_and_then_backed_off() -> None:
    world = World(make_pod())
    world.settle()
    world.exit("app", 1)
    world.settle()
    assert world.container("app").restart_count == 1
    world.now_s += 1
    world.exit("app", 1)
    decision = world.settle()
    state = world.container("app")
    assert state.state.waiting.reason == "CrashLoopBackOff"
    assert "back-off 10s restarting failed container=app" in state.state.waiting.message
    assert state.last_state.terminated.exit_code == 1
    assert world.status.phase == "Running"
    assert decision.plan.wake_at_s == world.now_s + 10
    world.now_s += 10
    world.settle()
    assert world.running() == {"app"}
    assert world.backoffs["app"].delay_s == 20


def test_back_off_grows_to_five_minutes_and_begins_anew_after_ten_quiet_ones() -> None:
    world = World(make_pod())
    world.settle()
    waits = []
    for _ in range(8):
        world.exit("app", 1)
        decision = world.settle()
        if decision.plan.wake_at_s is not None:
            waits.append(decision.plan.wake_at_s - world.now_s)
            world.now_s = decision.plan.wake_at_s
            world.settle()
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    world.now_s += 601
    world.exit("app", 1)
    world.settle()
    assert world.running() == {"app"}


def test_on_failure_restarts_failures_only() -> None:
    world = World(make_pod(["a", "b"], policy="OnFailure"))
    world.settle()
    world.exit("a", 0)
    world.exit("b", 2)
    world.settle()
    assert world.running() == {"b"}
    world.exit("b", 0)
    world.settle()
    assert world.status.phase == "Succeeded"
    assert world.condition("Ready").reason == "PodCompleted"
    assert not any(sandbox.running for sandbox in world.sandboxes.values())
    assert world.containers, "dead containers stay for their logs"


def test_never_ends_as_failed_when_one_container_failed() -> None:
    world = World(make_pod(["a", "b"], policy="Never"))
    world.settle()
    world.exit("a", 0)
    world.settle()
    assert world.status.phase == "Running"
    world.exit("b", 7)
    decision = world.settle()
    assert decision.finished
    assert world.status.phase == "Failed"
    assert world.container("b").state.terminated.reason == "Error"


def test_a_deleted_pod_is_stopped_then_cleared_away_and_ends_in_a_final_phase() -> None:
    world = World(make_pod(["a", "b"]))
    world.settle()
    world.ending = Ending(30, world.now_s, remove=True)
    first = world.round()
    assert {step.name for step in first.plan.actions} == {"a", "b"}
    assert all(step.grace_s == 30 for step in first.plan.actions)
    decision = world.settle()
    assert decision.finished
    assert not world.containers and not world.sandboxes
    assert world.status.phase == "Failed"


def test_a_pod_deleted_while_it_is_pending_ends_without_having_run() -> None:
    world = World(make_pod())
    world.ending = Ending(30, world.now_s, remove=True)
    decision = world.round()
    assert decision.finished
    assert decision.status.phase == "Failed"


def test_the_grace_period_shrinks_as_it_passes_and_keeps_two_seconds() -> None:
    world = World(make_pod())
    world.settle()
    world.ending = Ending(30, world.now_s - 29.5, remove=True)
    step = world.round().plan.actions[0]
    assert isinstance(step, StopContainer)
    assert step.grace_s == 2


def test_a_liveness_failure_stops_the_container_which_then_restarts() -> None:
    world = World(make_pod())
    world.settle()
    container_id = world.runtime().running()[0].id
    world.probes[container_id] = ProbeView(failed="Liveness")
    decision = world.round()
    stop = decision.plan.actions[0]
    assert isinstance(stop, StopContainer)
    assert stop.message == "Container app failed liveness probe, will be restarted"
    world.settle()
    assert world.container("app").restart_count == 1


def test_an_unready_container_makes_the_pod_unready_but_running() -> None:
    world = World(make_pod(["a", "b"]))
    world.settle()
    world.probes[world.runtime().latest("b").id] = ProbeView(ready=False)  # type: ignore[union-attr]
    world.settle()
    assert world.status.phase == "Running"
    assert world.condition("Ready").status == "False"
    assert world.condition("ContainersReady").message == "containers with unready status: [b]"


def test_a_dead_sandbox_is_replaced_and_its_containers_start_again() -> None:
    world = World(make_pod(["app"], [{"name": "one"}]))
    world.settle()
    world.exit("one", 0)
    world.settle()
    (sandbox_id,) = world.sandboxes
    world.kill_sandbox(sandbox_id)
    world.settle()
    assert world.running() == {"one"}, "initialization belongs to the sandbox"
    world.exit("one", 0)
    world.settle()
    assert world.running() == {"app"}
    assert world.container("app").restart_count == 1


def test_containers_that_the_engine_has_forgotten_keep_their_restart_count() -> None:
    world = World(make_pod())
    world.settle()
    world.exit("app", 1)
    world.settle()
    assert world.container("app").restart_count == 1
    world.sandboxes.clear()
    world.containers.clear()
    world.settle()
    assert world.container("app").restart_count == 2
    assert world.container("app").state.running is not None


def test_finished_work_is_not_done_again_after_the_engine_has_forgotten_it() -> None:
    world = World(make_pod(["a", "b"], policy="OnFailure"))
    world.settle()
    world.exit("a", 0)
    world.settle()
    world.sandboxes.clear()
    world.containers.clear()
    world.settle()
    assert world.running() == {"b"}


def test_a_new_kubelet_adopts_what_runs_and_starts_nothing() -> None:
    world = World(make_pod(["a", "b"]))
    world.settle()
    before = list(world.started)
    world.backoffs.clear()
    world.status = PodStatus()
    world.settle()
    assert world.started == before
    assert world.status.phase == "Running"


def test_waiting_for_an_image_shows_its_reason() -> None:
    world = World(make_pod(["a", "b"]))
    world.round()
    world.waiting["b"] = Waiting("ImagePullBackOff", 'Back-off pulling image "x"')
    world.carry_out(StartContainer("a", 0))
    decision = decide(world.pod, world.runtime(), Facts(now_s=START_S, prior=world.status, waiting=world.waiting))
    assert decision.status.phase == "Pending"
    assert decision.status.container_statuses[1].state.waiting.reason == "ImagePullBackOff"


def test_an_oom_kill_is_told_as_such() -> None:
    world = World(make_pod(policy="Never"))
    world.settle()
    latest = world.runtime().latest("app")
    assert latest is not None
    world.exit("app", 137)
    world.containers[latest.id] = msgspec.structs.replace(world.containers[latest.id], oom_killed=True)
    world.settle()
    assert world.container("app").state.terminated.reason == "OOMKilled"


def test_an_evicted_pod_fails_with_its_reason_and_keeps_its_containers() -> None:
    world = World(make_pod())
    world.settle()
    world.ending = Ending(0, world.now_s, remove=False, reason="DeadlineExceeded", message="too long")
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Failed", "DeadlineExceeded")
    assert world.containers


def test_a_changed_image_replaces_the_container() -> None:
    world = World(make_pod())
    world.settle()
    state = world.runtime().running()[0]
    world.containers[state.id] = msgspec.structs.replace(state, labels={"io.kubernetes.container.hash": "old"})
    facts = Facts(now_s=world.now_s, prior=world.status, pod_ip="10.91.0.2", hashes={"app": "new"})
    decision = decide(world.pod, world.runtime(), facts)
    assert isinstance(decision.plan.actions[0], StopContainer)


def test_readiness_gates_hold_the_pod_back_until_somebody_opens_them() -> None:
    world = World(make_pod(readinessGates=[{"conditionType": "lb"}]))
    world.settle()
    assert world.condition("Ready").reason == "ReadinessGatesNotReady"
    assert world.condition("ContainersReady").status == "True"


# Properties.

EVENTS = st.one_of(
    st.tuples(st.just("exit"), st.integers(0, 3), st.sampled_from([0, 0, 1, 137])),
    st.tuples(st.just("sandbox"), st.just(0), st.just(0)),
    st.tuples(st.just("unhealthy"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 400), st.just(0)),
    st.tuples(st.just("forget"), st.integers(0, 3), st.just(0)),
)
SIDECAR = {"name": "side", "restartPolicy": "Always"}
PODS = st.builds(
    make_pod,
    st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"]]),
    st.sampled_from([[], [{"name": "i"}], [{"name": "i"}, {"name": "j"}], [SIDECAR], [{"name": "i"}, SIDECAR]]),
    st.sampled_from(["Always", "OnFailure", "Never"]),
)


def happen(world: World, event: tuple[str, int, int]) -> None:
    kind, which, code = event
    running = world.runtime().running()
    match kind:
        case "exit" if running:
            world.exit_id(running[which % len(running)].id, code)
        case "sandbox" if world.runtime().live_sandbox() is not None:
            world.kill_sandbox(world.runtime().live_sandbox().id)  # type: ignore[union-attr]
        case "unhealthy" if running:
            world.probes[running[which % len(running)].id] = ProbeView(failed="Liveness")
        case "wait":
            world.now_s += which
        case "forget":
            dead = [state for state in world.containers.values() if state.state == "exited"]
            if dead:
                del world.containers[dead[which % len(dead)].id]


@settings(max_examples=150, deadline=None)
@given(PODS, st.lists(EVENTS, max_size=12))
def test_whatever_happens_the_pod_comes_to_rest_and_its_counts_never_fall(
    pod: Pod, events: list[tuple[str, int, int]]
) -> None:
    world = World(pod)
    counts: dict[str, int] = {}
    final = ""
    for event in [*events, ("wait", 1000, 0)]:
        happen(world, event)
        world.settle()
        for status in (*world.status.container_statuses, *world.status.init_container_statuses):
            assert status.restart_count >= counts.get(status.name, 0)
            counts[status.name] = status.restart_count
        if final:
            assert world.status.phase == final, "a final phase is final"
        if world.status.phase in ("Succeeded", "Failed"):
            final = world.status.phase
            assert not world.running()
    if pod.spec.restart_policy == "Always":
        assert not final
        steps = {each.name for each in pod.spec.init_containers if each.restart_policy != "Always"}
        assert world.running() & ({each.name for each in pod.spec.containers} | steps), "an Always pod goes on"


@settings(max_examples=100, deadline=None)
@given(PODS, st.lists(EVENTS, max_size=10))
def test_never_means_that_no_container_is_started_twice(pod: Pod, events: list[tuple[str, int, int]]) -> None:
    pod.spec.restart_policy = "Never"
    world = World(pod)
    for event in events:
        happen(world, event)
        world.settle()
    sidecars = {each.name for each in pod.spec.init_containers if each.restart_policy == "Always"}
    started = [name for name, _ in world.started if name not in sidecars]
    assert len(started) == len(set(started))


@settings(max_examples=100, deadline=None)
@given(PODS, st.lists(EVENTS, max_size=8), st.sampled_from([0.0, 5.0, 30.0]))
def test_a_deletion_always_ends_with_nothing_left(pod: Pod, events: list[tuple[str, int, int]], grace_s: float) -> None:
    world = World(pod)
    for event in events:
        happen(world, event)
        world.settle()
    world.ending = Ending(grace_s, world.now_s, remove=True)
    decision = world.settle()
    assert decision.finished
    assert not world.containers and not world.sandboxes
    assert decision.status.phase in ("Succeeded", "Failed")
    assert world.condition("Ready").status == "False"
