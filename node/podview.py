"""What the kubelet's server shows of pods: which container a request means, and the list of all pods."""

from collections.abc import Callable
from typing import Any

import msgspec

from master.api.core.container import ContainerStatus
from master.api.core.pod import Pod, PodStatus
from node.context import NodeContext
from node.engine.base import ContainerState
from node.podworker import PodWorker
from node.runtime import RUNNING


class Refused(Exception):
    """An answer in plain text with an HTTP code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class PodView:
    def __init__(self, context: NodeContext, worker_of: Callable[[str], PodWorker | None]) -> None:
        self._context = context
        self._worker_of = worker_of

    def find(self, namespace: str, name: str) -> Pod:
        """Of several pods of one name (an old one still ending) the one that is not being deleted."""
        found = [
            pod
            for pod in self._context.source.pods()
            if pod.metadata.name == name and pod.metadata.namespace == namespace
        ]
        if not found:
            raise Refused(404, f'pod "{namespace}/{name}" does not exist')
        return min(found, key=lambda pod: pod.metadata.deletion_timestamp is not None)

    def status(self, pod: Pod) -> PodStatus:
        worker = self._worker_of(pod.metadata.uid)
        return worker.status or pod.status if worker is not None else pod.status

    def running(self, pod: Pod, container: str) -> ContainerState:
        """For exec and attach."""
        _require_container(pod, container)
        for state in self._context.cache.get(pod.metadata.uid).attempts(container):
            if state.state == RUNNING:
                return state
        raise Refused(400, f'container not found ("{container}")')

    def logged(self, pod: Pod, container: str, *, previous: bool) -> ContainerState:
        """The attempt whose log is meant; what kubectl calls `--previous` is the last one that ended before."""
        _require_container(pod, container)
        status = self._container_status(pod, container)
        attempts = self._context.cache.get(pod.metadata.uid).attempts(container)
        wanted = _logged_id(status, previous) if status is not None else ""
        if not wanted and attempts and not previous:
            return attempts[0]
        for state in attempts:
            if wanted and wanted.endswith(state.id):
                return state
        name = pod.metadata.name
        if previous:
            raise Refused(400, f'previous terminated container "{container}" in pod "{name}" not found')
        waiting = status.state.waiting if status is not None else None
        reason = waiting.reason if waiting is not None else "ContainerCreating"
        if reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"):
            raise Refused(
                400, f'container "{container}" in pod "{name}" is waiting to start: trying and failing to pull image'
            )
        raise Refused(400, f'container "{container}" in pod "{name}" is waiting to start: {reason}')

    def _container_status(self, pod: Pod, container: str) -> ContainerStatus | None:
        status = self.status(pod)
        for each in (*status.container_statuses, *status.init_container_statuses):
            if each.name == container:
                return each
        return None

    def listed(self, *, stripped: bool) -> dict[str, Any]:
        """All pods as a PodList; `stripped` leaves out what an unauthenticated reader must not see."""
        items = []
        for pod in self._context.source.pods():
            shown = msgspec.structs.replace(pod, status=self.status(pod), kind="", api_version="")
            tree = msgspec.to_builtins(shown)
            items.append(strip_pod(tree) if stripped else tree)
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def _logged_id(status: ContainerStatus, previous: bool) -> str:
    last = status.last_state.terminated
    if previous:
        return last.container_id if last is not None else ""
    if status.state.running is not None:
        return status.container_id
    if status.state.terminated is not None:
        return status.state.terminated.container_id
    return last.container_id if last is not None else ""


def _require_container(pod: Pod, container: str) -> None:
    names = [each.name for each in (*pod.spec.containers, *pod.spec.init_containers)]
    if container not in names:
        raise Refused(400, f"container {container} is not valid for pod {pod.metadata.name}")


def strip_pod(pod: dict[str, Any]) -> dict[str, Any]:
    """Without annotations and without values of environment variables. Pure."""
    metadata = {key: value for key, value in pod["metadata"].items() if key not in ("annotations", "managedFields")}
    spec = dict(pod["spec"])
    for field in ("containers", "initContainers", "ephemeralContainers"):
        if field in spec:
            spec[field] = [_strip_container(each) for each in spec[field]]
    return {**pod, "metadata": metadata, "spec": spec}


def _strip_container(container: dict[str, Any]) -> dict[str, Any]:
    if "env" not in container:
        return container
    kept = [{key: value for key, value in each.items() if key != "value"} for each in container["env"]]
    return {**container, "env": kept}
