"""Pods that nobody else will ever finish: their node is gone for good, or they were deleted before they had one.

Desired: no pod bound to a Node that does not exist, no terminating pod without a node, no terminating pod on a node
marked out of service. Observed: Pods and Nodes. Writes: marks such pods Failed and deletes them without grace.
"""

from collections.abc import Iterable, Sequence

import msgspec

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.status import NotFound
from master.client.rest import object_key
from master.controllers.base import Context, Controller, Watch
from master.controllers.informers import NODE_INDEX
from master.controllers.nodehealth import OUT_OF_SERVICE, ready_status
from master.controllers.podstate import is_finished

QUARANTINE_S = 5.0
"""A node object may be deleted and made again; Kubernetes waits 40 s before it believes in its end."""


class Verdict(msgspec.Struct, frozen=True):
    """Why a pod goes. `needs_quarantine`: only after its node has been missing for a while."""

    message: str
    needs_quarantine: bool = False


class PodGarbageCollector(Controller):
    name = "pod-garbage-collector"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._nodes = context.informers.of(Node)
        self._pods = context.informers.pods_by_node()
        self._missing_since_s: dict[str, float] = {}

    def watches(self) -> Sequence[Watch]:
        return Watch(Pod, lambda pod: (object_key(pod),)), Watch(Node, self._keys_of_node)

    def _keys_of_node(self, node: Node) -> Iterable[str]:
        known = self._nodes.get(node.metadata.name)
        if known is not None:
            self._missing_since_s.pop(node.metadata.name, None)
        if known is not None and not is_out_of_service(known):
            return ()
        return [object_key(pod) for pod in self._pods.by_index(NODE_INDEX, node.metadata.name)]

    async def reconcile(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None:
            return None
        verdict = plan_pod(pod, self._nodes.get(pod.spec.node_name))
        if verdict is None:
            return None
        if verdict.needs_quarantine:
            since_s = self._missing_since_s.setdefault(pod.spec.node_name, self.env.clock())
            left_s = since_s + QUARANTINE_S - self.env.clock()
            if left_s > 0:
                return left_s
            if await self._node_exists(pod.spec.node_name):
                return QUARANTINE_S
        await self._remove(key, pod, verdict)
        return None

    async def _node_exists(self, name: str) -> bool:
        try:
            await self.client.get(Node, name)
        except NotFound:
            return False
        return True

    async def _remove(self, key: str, pod: Pod, verdict: Verdict) -> None:
        if not is_finished(pod):
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": verdict.message,
                "lastTransitionTime": self.env.now(),
            }
            patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"phase": "Failed", "conditions": [condition]}}
            await self.patch(key, pod, patch, subresource="status")
        await self.delete(key, pod, grace_period_s=0, propagation="")


def plan_pod(pod: Pod, node: Node | None) -> Verdict | None:
    """Why this pod should go now, None: leave it alone. `node` is the one it is bound to, if that exists."""
    terminating = pod.metadata.deletion_timestamp is not None
    if not pod.spec.node_name:
        return Verdict("PodGC: deleting unscheduled terminating pod") if terminating else None
    if node is None:
        return Verdict("PodGC: node no longer exists", needs_quarantine=True)
    if terminating and is_out_of_service(node) and ready_status(node) != "True":
        return Verdict("PodGC: node is out of service")
    return None


def is_out_of_service(node: Node) -> bool:
    return any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)
