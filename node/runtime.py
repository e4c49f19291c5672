"""What the container engine knows of one pod at one moment, ordered so that the newest attempt comes first. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from node.engine.base import ContainerState, SandboxState

RUNNING: Final = "running"
EXITED: Final = "exited"


class PodRuntime(msgspec.Struct, frozen=True):
    """One pod's sandboxes and containers, newest attempt first; `taken_at_s` is when the engine was asked."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: list[SandboxState] = []
    containers: list[ContainerState] = []
    taken_at_s: float = 0.0

    def sandbox(self) -> SandboxState | None:
        """The newest sandbox, dead or alive."""
        return self.sandboxes[0] if self.sandboxes else None

    def live_sandbox(self) -> SandboxState | None:
        newest = self.sandbox()
        return newest if newest is not None and newest.running else None

    def attempts(self, container: str) -> list[ContainerState]:
        """All attempts of the named container, newest first."""
        return [state for state in self.containers if state.name == container]

    def latest(self, container: str) -> ContainerState | None:
        found = self.attempts(container)
        return found[0] if found else None

    def running(self) -> list[ContainerState]:
        return [state for state in self.containers if state.state == RUNNING]

    def is_empty(self) -> bool:
        return not self.sandboxes and not self.containers


def group_by_pod(
    sandboxes: Iterable[SandboxState], containers: Iterable[ContainerState], taken_at_s: float
) -> dict[str, PodRuntime]:
    """The engine's two flat lists as one view a pod, by pod uid."""
    pods: dict[str, PodRuntime] = {}
    for sandbox in sandboxes:
        pod = pods.setdefault(
            sandbox.pod_uid,
            PodRuntime(sandbox.pod_uid, sandbox.name, sandbox.namespace, [], [], taken_at_s),
        )
        pod.sandboxes.append(sandbox)
    for container in containers:
        pod = pods.setdefault(container.pod_uid, PodRuntime(container.pod_uid, "", "", [], [], taken_at_s))
        pod.containers.append(container)
    for pod in pods.values():
        pod.sandboxes.sort(key=lambda state: (state.attempt, state.created_at), reverse=True)
        pod.containers.sort(key=lambda state: (state.attempt, state.created_at), reverse=True)
    return pods


def fingerprint(pod: PodRuntime) -> tuple[tuple[str, ...], ...]:
    """Two views with the same fingerprint call for the same actions."""
    return (
        *((sandbox.id, str(sandbox.running)) for sandbox in pod.sandboxes),
        *((container.id, container.state) for container in pod.containers),
    )
