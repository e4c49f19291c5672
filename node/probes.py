"""Liveness, readiness and startup probes of all containers on the node: one task a probe, verdicts by thresholds.

`Threshold` is pure. A startup probe holds the others back until it has succeeded; readiness begins as not ready, a
container adopted from an earlier kubelet keeps what was last reported of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

import msgspec

from master.api.core.container import Container, ContainerStatus, Probe
from master.api.core.pod import Pod
from node.engine.base import ContainerState, Engine
from node.facts import ProbeView
from node.probing import ProbeOutcome, run_probe

log = logging.getLogger(__name__)

PERIOD_S, TIMEOUT_S, SUCCESSES, FAILURES = 10, 1, 1, 3
"""The API's defaults, for pods (static ones) that did not pass through its defaulting."""

Kind = Literal["Startup", "Readiness", "Liveness"]
Notify = Callable[[Pod, str, str, str], None]


class Threshold:
    """Counts equal results in a row; the verdict changes only when enough of them have come."""

    def __init__(self, probe: Probe, verdict: bool) -> None:
        self.verdict = verdict
        self._needed = {True: probe.success_threshold or SUCCESSES, False: probe.failure_threshold or FAILURES}
        self._last: bool | None = None
        self._run = 0
        self.reached = False
        """Whether the last result completed a row."""

    def feed(self, ok: bool) -> bool:
        self._run = self._run + 1 if ok is self._last else 1
        self._last = ok
        self.reached = self._run >= self._needed[ok]
        if self.reached:
            self.verdict = ok
        return self.verdict


class _Probed(msgspec.Struct):
    """One running container under probes."""

    view: ProbeView
    started: asyncio.Event
    tasks: list[asyncio.Task[None]]


class ProbeTable:
    """`sync` with what runs of a pod; `views` for the pod's decisions; `wake` is called when a verdict changes."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float],
        wake: Callable[[str], None],
        notify: Notify,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._wake = wake
        self._notify = notify
        self._sleep = sleep
        self._pods: dict[str, dict[str, _Probed]] = {}

    def views(self, pod_uid: str) -> dict[str, ProbeView]:
        return {container_id: probed.view for container_id, probed in self._pods.get(pod_uid, {}).items()}

    def sync(self, pod: Pod, running: Iterable[ContainerState], pod_ip: str) -> None:
        """Probe what runs now, forget what does not any more."""
        probed = self._pods.setdefault(pod.metadata.uid, {})
        specs = {spec.name: spec for spec in (*pod.spec.init_containers, *pod.spec.containers)}
        alive = {state.id: state for state in running if state.name in specs}
        for container_id in [each for each in probed if each not in alive]:
            _cancel(probed.pop(container_id))
        for container_id, state in alive.items():
            spec = specs[state.name]
            if container_id not in probed and _probes_of(spec):
                probed[container_id] = self._begin(pod, spec, state, pod_ip)

    def forget(self, pod_uid: str) -> None:
        for probed in self._pods.pop(pod_uid, {}).values():
            _cancel(probed)

    def stop_liveness(self, pod_uid: str) -> None:
        """A pod that is being ended must not be judged for it; readiness goes on being told."""
        for probed in self._pods.get(pod_uid, {}).values():
            for task in probed.tasks:
                if not task.get_name().startswith("Readiness"):
                    task.cancel()

    def _begin(self, pod: Pod, spec: Container, state: ContainerState, pod_ip: str) -> _Probed:
        before = _reported(pod, state)
        view = ProbeView(
            started=spec.startup_probe is None or bool(before is not None and before.started),
            ready=spec.readiness_probe is None or bool(before is not None and before.ready),
        )
        probed = _Probed(view, asyncio.Event(), [])
        if view.started:
            probed.started.set()
        for kind, probe in _probes_of(spec):
            if kind == "Startup" and view.started:
                continue
            run = self._run(kind, probe, probed, pod, spec, state, pod_ip)
            probed.tasks.append(asyncio.create_task(run, name=f"{kind} {pod.metadata.name}/{spec.name}"))
        return probed

    async def _run(
        self, kind: Kind, probe: Probe, probed: _Probed, pod: Pod, spec: Container, state: ContainerState, pod_ip: str
    ) -> None:
        if kind != "Startup":
            await probed.started.wait()
        await self._sleep(max(0.0, state.started_at + probe.initial_delay_seconds - self._clock()))
        threshold = Threshold(probe, verdict=probed.view.ready if kind == "Readiness" else kind == "Liveness")
        timeout_s = float(probe.timeout_seconds or TIMEOUT_S)
        while True:
            outcome = await run_probe(probe, spec, state.id, pod_ip, self._engine, timeout_s)
            if not outcome.ok:
                self._notify(pod, "Warning", "Unhealthy", f"{kind} probe failed: {outcome.output}".rstrip())
            threshold.feed(outcome.ok)
            if self._judge(kind, threshold, probed, probe, pod, outcome):
                return
            await self._sleep(float(probe.period_seconds or PERIOD_S))

    def _judge(
        self, kind: Kind, threshold: Threshold, probed: _Probed, probe: Probe, pod: Pod, outcome: ProbeOutcome
    ) -> bool:
        """Note the verdict; whether the probe has done its duty."""
        before, over = probed.view, False
        grace_s = probe.termination_grace_period_seconds
        if kind == "Readiness":
            probed.view = msgspec.structs.replace(before, ready=threshold.verdict)
        elif not outcome.ok and threshold.reached:
            failed: Literal["Startup", "Liveness"] = kind
            probed.view = msgspec.structs.replace(
                before, failed=failed, grace_s=None if grace_s is None else float(grace_s)
            )
            over = True  # the container will be stopped; its successor gets probes of its own
        elif kind == "Startup" and threshold.verdict:
            probed.view = msgspec.structs.replace(before, started=True)
            probed.started.set()
            over = True
        if probed.view != before:
            self._wake(pod.metadata.uid)
        return over


def _probes_of(spec: Container) -> list[tuple[Kind, Probe]]:
    named: list[tuple[Kind, Probe | None]] = [
        ("Startup", spec.startup_probe),
        ("Readiness", spec.readiness_probe),
        ("Liveness", spec.liveness_probe),
    ]
    return [(kind, probe) for kind, probe in named if probe is not None]


def _reported(pod: Pod, state: ContainerState) -> ContainerStatus | None:
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        if status.name == state.name and status.container_id.endswith(f"//{state.id}"):
            return status
    return None


def _cancel(probed: _Probed) -> None:
    for task in probed.tasks:
        task.cancel()
