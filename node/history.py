"""Containers that the engine no longer remembers but the API does. Pure.

After a node lost power, or somebody removed containers behind the kubelet's back, the last reported status is all that
is left. Turning it into ordinary records keeps restart counts growing and finished work finished.
"""

import msgspec

from master.api.core.container import ContainerStateTerminated, ContainerStatus
from master.api.core.pod import PodStatus
from master.api.timestamps import parse_rfc3339
from node.engine.base import ContainerState
from node.runtime import EXITED, PodRuntime

LOST_EXIT_CODE = 137
LOST_REASON = "ContainerStatusUnknown"
LOST_MESSAGE = "The container could not be located when the pod was terminated"


def with_lost(runtime: PodRuntime, prior: PodStatus) -> PodRuntime:
    """The runtime's view, completed by one record for each container that only `prior` knows."""
    known: dict[str, int] = {}
    for state in runtime.containers:
        known[state.name] = max(state.attempt, known.get(state.name, -1))
    reported = [*prior.init_container_statuses, *prior.container_statuses]
    missing = [status for status in reported if status.restart_count > known.get(status.name, -1)]
    lost = [record for status in missing if (record := _lost(runtime.uid, status)) is not None]
    if not lost:
        return runtime
    containers = sorted([*lost, *runtime.containers], key=lambda state: state.attempt, reverse=True)
    return msgspec.structs.replace(runtime, containers=containers)


def is_lost(state: ContainerState) -> bool:
    """A record made here: there is nothing at the engine to stop or remove."""
    return state.sandbox_id == ""


def _lost(pod_uid: str, status: ContainerStatus) -> ContainerState | None:
    ended = status.state.terminated or (status.last_state.terminated if status.state.waiting is not None else None)
    if ended is None and status.state.running is not None:
        ended = ContainerStateTerminated(
            exit_code=LOST_EXIT_CODE,
            reason=LOST_REASON,
            message=LOST_MESSAGE,
            started_at=status.state.running.started_at,
            container_id=status.container_id,
        )
    if ended is None:
        return None
    return ContainerState(
        id=(ended.container_id or status.container_id).rpartition("//")[2],
        sandbox_id="",
        pod_uid=pod_uid,
        name=status.name,
        attempt=status.restart_count,
        image=status.image,
        image_id=status.image_id,
        state=EXITED,
        pid=0,
        exit_code=ended.exit_code,
        oom_killed=ended.reason == "OOMKilled",
        reason=ended.reason,
        created_at=_seconds(ended.started_at),
        started_at=_seconds(ended.started_at),
        finished_at=_seconds(ended.finished_at),
        log_path="",
        labels={},
    )


def _seconds(time: str | None) -> float:
    return parse_rfc3339(time) if time else 0.0
