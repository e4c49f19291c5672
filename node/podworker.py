"""One pod's worker: looks, decides, acts, reports, and sleeps until something changes. One thing at a time a pod.

Nothing here waits long: pulls, hooks and the stopping of containers run beside the loop and wake it when they end, so
that a deletion is heard at once. The order of a round is always: fresh view of the engine → `lifecycle.decide` →
status out → steps carried out → again, until there is nothing to do.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec

from master.api.core.pod import Pod, PodStatus
from master.api.status import ApiError
from node.containerspec import definition_hash
from node.context import NodeContext
from node.endings import Endings, deadline_s, has_ended
from node.engine.base import EngineError, SandboxState
from node.executor import RUN_ERROR, PodExecutor, StartFailed, find_container_or_none
from node.facts import Ending, Facts, ProbeView, Waiting
from node.lifecycle import Decision, decide
from node.mirrors import is_static
from node.network.base import NetworkError, NetworkNotReady
from node.podconditions import OWNED
from node.restarts import RestartBackoff
from node.runtime import EXITED, PodRuntime
from node.sidejobs import SideJobs
from node.steps import (
    CreateSandbox,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
)
from node.tokens import TokenCache
from node.volumes.setup import VolumeError

log = logging.getLogger(__name__)

RESYNC_S = 30.0
"""A pod is looked at this often even when nothing seems to change; its volumes follow their objects then."""
VOLUMES_FRESH_S = 20.0
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 10.0
START_RETRY_FIRST_S = 1.0
START_RETRY_MAX_S = 30.0
MAX_ROUNDS = 50
"""Rounds without a pause; a pod that needs more in a row is given one, so that a fault cannot spin."""

EVENT_REASONS: dict[type[Exception], str] = {
    VolumeError: "FailedMount",
    NetworkError: "FailedCreatePodSandBox",
    NetworkNotReady: "NetworkNotReady",
}


class PodWorker:
    """`run` as a task; `wake` when something may have changed; `done` when nothing of the pod is left here."""

    def __init__(self, context: NodeContext, uid: str, tokens: TokenCache) -> None:
        self.uid = uid
        self.done = False
        self.pod: Pod | None = None
        """The pod as last seen in its source; stays when it has vanished from there."""
        self.is_orphan = False
        self._context = context
        self._executor = PodExecutor(context, uid, tokens)
        self._tokens = tokens
        self._wakeup = asyncio.Event()
        self._acted_s = 0.0
        self._status: PodStatus | None = None
        self._address: tuple[str, str] = ("", "")
        self._waiting: dict[str, Waiting] = {}
        self._start_failures: dict[str, int] = {}
        self._start_due_s: dict[str, float] = {}
        self._backoffs: dict[str, RestartBackoff] = {}
        self._messages: dict[str, str] = {}
        self._jobs = SideJobs(context.clock, self._noticed)
        self._endings = Endings()
        self._volumes_s: float | None = None
        self._failures = 0
        self._cleared = False
        self._wake_at_s: float | None = None

    def wake(self) -> None:
        self._wakeup.set()

    def reject(self, reason: str, message: str) -> None:
        """This node does not take the pod: it fails without ever having run."""
        self._endings.reject(self._context.wall(), reason, message)

    @property
    def status(self) -> PodStatus | None:
        """As last decided here, whether or not the API knows it yet."""
        return self._status

    async def run(self) -> None:
        while not self.done:
            self._wakeup.clear()
            pause_s = RESYNC_S
            try:
                pause_s = await self._sync()
                self._failures = 0
            except (ApiError, EngineError, NetworkError, VolumeError, OSError, TimeoutError) as error:
                pause_s = self._failed(error)
            except Exception as error:  # a fault in one pod must not take the node down
                log.exception("pod %s", self.uid)
                pause_s = self._failed(error)
            if not self.done:
                await self._sleep(pause_s)

    def cancel_background(self) -> None:
        """At the kubelet's end; what runs goes on running."""
        self._jobs.cancel()

    async def _sleep(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wakeup.wait()
        except TimeoutError:
            pass

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        pod = self.pod
        log.info("pod %s: %s: %s", pod.metadata.name if pod else self.uid, type(error).__name__, error)
        if pod is not None and not self.is_orphan:
            reason = EVENT_REASONS.get(type(error), "FailedSync")
            if not isinstance(error, ApiError):
                self._context.event(pod, "Warning", reason, str(error) or type(error).__name__)
        return min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(self._failures - 1, 16))

    # One round after the other.

    async def _sync(self) -> float:
        """Bring the pod forward as far as it goes now; how long to sleep then."""
        for _ in range(MAX_ROUNDS):
            self._wake_at_s = None
            pod = self._current()
            if pod is None:
                self.done = True
                return 0.0
            runtime = await self._context.cache.newer_than(self.uid, self._acted_s)
            ending = self._ending_of(pod)
            address = await self._ensure_address(pod, runtime, ending)
            decision = await self._decide(pod, runtime, ending, address)
            self._report(pod, decision)
            if not await self._act(pod, runtime, decision, address):
                return await self._settle(pod, decision, ending)
        return RETRY_FIRST_S

    def _current(self) -> Pod | None:
        found = self._context.source.get(self.uid)
        if found is not None:
            self.pod = found
        return self.pod

    async def _settle(self, pod: Pod, decision: Decision, ending: Ending | None) -> float:
        """Nothing more to do in this round."""
        if decision.finished and ending is not None and ending.remove:
            await self._finish(pod, decision)
            return 0.0
        if decision.finished and not self._cleared:
            self._context.probes.forget(self.uid)
            await self._executor.clear_volumes()
            self._cleared = True
        return self._pause_s(decision)

    def _pause_s(self, decision: Decision) -> float:
        limit_s = deadline_s(self.pod, self._status) if self.pod is not None else None
        due = [moment for moment in (decision.plan.wake_at_s, self._wake_at_s, limit_s) if moment is not None]
        return max(0.01, min([RESYNC_S, *(moment - self._context.wall() for moment in due)]))

    async def _finish(self, pod: Pod, decision: Decision) -> None:
        context = self._context
        self.cancel_background()
        context.probes.forget(self.uid)
        context.images.forget(self.uid)
        self._tokens.forget(self.uid)
        await self._executor.clear(pod)
        shown = None if self.is_orphan else context.source.api_object(pod)
        if shown is not None and not is_static(pod):
            context.reporter.report(shown, decision.status, gone=True)
        self.done = True

    # What is known.

    def _ending_of(self, pod: Pod) -> Ending | None:
        """The order to end the pod, if there is one; a new one calls off what would stand in its way."""
        context = self._context
        is_gone = context.source.get(self.uid) is None
        ending, is_new = self._endings.order(
            pod, self._status, context.wall(), is_orphan=self.is_orphan, is_gone=is_gone
        )
        if is_new:
            context.probes.stop_liveness(self.uid)
            self._jobs.cancel_hooks()
        return ending

    async def _ensure_address(self, pod: Pod, runtime: PodRuntime, ending: Ending | None) -> str:
        """The address of the living sandbox; attached here, whether the sandbox is new or adopted."""
        live = runtime.live_sandbox()
        if live is None:
            return ""
        if pod.spec.host_network:
            return self._context.config.address
        if self._address[0] == live.id:
            return self._address[1]
        if ending is not None or has_ended(self._prior(pod)):
            return ""
        if not self._context.network_ready.is_set():
            raise NetworkNotReady("network is not ready: the node has no pod CIDR yet")
        try:
            address = await self._executor.attach(pod, live)
        except NetworkError:
            if not runtime.running():  # a new sandbox; one in which containers run is never given up for this
                await self._give_up_sandbox(live)
            raise
        self._address = (live.id, address)
        return address

    async def _give_up_sandbox(self, sandbox: SandboxState) -> None:
        """Without an address a sandbox is of no use: another one is made."""
        self._acted_s = self._context.clock()
        await self._executor.stop_sandbox(sandbox.id)
        self._acted_s = self._context.clock()

    async def _decide(self, pod: Pod, runtime: PodRuntime, ending: Ending | None, address: str) -> Decision:
        await self._read_last_words(pod, runtime)
        if ending is None:
            self._context.probes.sync(pod, runtime.running(), address)
        return decide(pod, runtime, self._facts(pod, ending, address))

    def _facts(self, pod: Pod, ending: Ending | None, address: str) -> Facts:
        context = self._context
        probes = context.probes.views(self.uid)
        for container_id in self._jobs.hooked():
            probes[container_id] = ProbeView(started=False, ready=False)
        return Facts(
            now_s=context.wall(),
            prior=self._prior(pod),
            engine=context.engine.kind,
            host_ip=context.config.address,
            pod_ip=address,
            generation=pod.metadata.generation,
            waiting=dict(self._waiting),
            probes=probes,
            messages=self._messages,
            backoffs=self._backoffs,
            hashes={each.name: definition_hash(each) for each in (*pod.spec.init_containers, *pod.spec.containers)},
            ending=ending,
        )

    def _prior(self, pod: Pod) -> PodStatus:
        """Our own last word, with what others have added to the conditions since; at first the API's."""
        shown = self._context.source.api_object(pod) or pod
        if self._status is None:
            return shown.status
        own = [condition for condition in self._status.conditions if condition.type in OWNED]
        foreign = [condition for condition in shown.status.conditions if condition.type not in OWNED]
        return msgspec.structs.replace(self._status, conditions=[*own, *foreign])

    async def _read_last_words(self, pod: Pod, runtime: PodRuntime) -> None:
        """Termination messages: those told before are kept, those of newly ended containers are read once."""
        prior, kept = self._prior(pod), dict[str, str]()
        for status in (*prior.container_statuses, *prior.init_container_statuses):
            for ended in (status.state.terminated, status.last_state.terminated):
                if ended is not None and ended.message:
                    kept[ended.container_id.rpartition("//")[2]] = ended.message
        for state in runtime.containers:
            if state.id in self._messages:
                kept[state.id] = self._messages[state.id]
            elif state.state == EXITED and state.id not in kept:
                try:
                    kept[state.id] = await self._executor.last_words(pod, state)
                except (EngineError, OSError) as error:
                    log.debug("last words of %s: %s", state.id, error)
                    kept[state.id] = ""
        self._messages = kept

    def _report(self, pod: Pod, decision: Decision) -> None:
        self._status = decision.status
        if not self.is_orphan:
            shown = self._context.source.api_object(pod)
            if shown is not None:
                self._context.reporter.report(shown, decision.status)
        for name, waiting in decision.plan.waiting.items():
            if self._waiting.get(name) != waiting and waiting.reason == "CrashLoopBackOff":
                meta = pod.metadata
                where = f"{meta.name}_{meta.namespace}({meta.uid})"
                message = f"Back-off restarting failed container {name} in pod {where}"
                self._context.event(pod, "Warning", "BackOff", message)
                self._waiting[name] = waiting

    # What is done.

    async def _act(self, pod: Pod, runtime: PodRuntime, decision: Decision, address: str) -> bool:
        """Carry out the steps; whether the engine's state has changed, so that another look is due."""
        changed = False
        for step in decision.plan.actions:
            match step:
                case CreateSandbox():
                    changed |= await self._create_sandbox(pod, step)
                case StartContainer():
                    changed |= await self._start(pod, step, runtime, address)
                case StopContainer():
                    self._begin_stop(pod, step, runtime, address)
                case StopSandbox():
                    await self._executor.stop_sandbox(step.sandbox_id)
                    changed = True
                case RemoveContainer():
                    await self._context.engine.remove_container(step.container_id)
                    changed = True
                case RemoveSandbox():
                    await self._executor.remove_sandbox(step.sandbox_id)
                    changed = True
        if changed:
            self._acted_s = self._context.clock()
        return changed

    async def _prepare_volumes(self, pod: Pod, address: str) -> None:
        now_s = self._context.clock()
        if self._volumes_s is None or now_s - self._volumes_s > VOLUMES_FRESH_S:
            await self._executor.prepare_volumes(pod, address)
            self._volumes_s = now_s

    async def _create_sandbox(self, pod: Pod, step: CreateSandbox) -> bool:
        await self._prepare_volumes(pod, "")
        if not pod.spec.host_network and not self._context.network_ready.is_set():
            raise NetworkNotReady("network is not ready: the node has no pod CIDR yet")
        try:
            await self._executor.run_sandbox(pod, step.attempt)
        except EngineError as error:
            self._acted_s = self._context.clock()
            raise NetworkError(f"Failed to create pod sandbox: {error}") from error
        return True

    async def _start(self, pod: Pod, step: StartContainer, runtime: PodRuntime, address: str) -> bool:
        live = runtime.live_sandbox()
        due_s = self._start_due_s.get(step.name, 0.0)
        if live is None or self._context.wall() < due_s:
            self._look_again(due_s)
            return False
        await self._prepare_volumes(pod, address)
        try:
            container_id = await self._executor.start(pod, step, live.id, address)
        except StartFailed as failure:
            if failure.waiting.reason == RUN_ERROR and step.backoff is not None:
                self._backoffs[step.name] = step.backoff  # it was made and did not start: a crash like any other
            return self._hold_back(step.name, failure)
        self._waiting.pop(step.name, None)
        self._start_failures.pop(step.name, None)
        if step.backoff is not None:
            self._backoffs[step.name] = step.backoff
        self._begin_hook(pod, step.name, container_id, address)
        return True

    def _hold_back(self, name: str, failure: StartFailed) -> bool:
        """Note why the container does not run. A failed attempt has left something at the engine: look again."""
        news = self._waiting.get(name) != failure.waiting
        self._waiting[name] = failure.waiting
        if failure.counts:
            count = self._start_failures.get(name, 0)
            self._start_failures[name] = count + 1
            pause_s = min(START_RETRY_MAX_S, START_RETRY_FIRST_S * 2.0 ** min(count, 16))
            self._start_due_s[name] = self._context.wall() + pause_s
        elif failure.wake_at_s:
            self._start_due_s[name] = failure.wake_at_s
        self._look_again(self._start_due_s.get(name, 0.0))
        return news

    def _look_again(self, moment_s: float) -> None:
        if moment_s > 0:
            self._wake_at_s = moment_s if self._wake_at_s is None else min(self._wake_at_s, moment_s)

    def _begin_hook(self, pod: Pod, name: str, container_id: str, address: str) -> None:
        container = find_container_or_none(pod, name)
        if container is None or container.lifecycle is None or container.lifecycle.post_start is None:
            return
        self._jobs.hook(container_id, self._executor.post_start(pod, name, container_id, address))

    def _begin_stop(self, pod: Pod, step: StopContainer, runtime: PodRuntime, address: str) -> None:
        state = next(state for state in runtime.containers if state.id == step.container_id)

        def work(first: bool) -> Coroutine[Any, Any, None]:
            return self._executor.stop(pod, state, step.grace_s, address, step.message if first else "")

        self._jobs.stop(step.container_id, step.grace_s, work)

    def _noticed(self) -> None:
        """Something beside the loop has changed the engine's state."""
        self._acted_s = self._context.clock()
        self.wake()


def orphan_pod(runtime: PodRuntime) -> Pod:
    """A stand-in for a pod that runs here and that nobody wants: enough to end it and to clear up after it."""
    pod = Pod()
    pod.metadata.uid = runtime.uid
    pod.metadata.name = runtime.name or runtime.uid
    pod.metadata.namespace = runtime.namespace
    return pod
