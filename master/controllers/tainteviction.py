"""Pods leave nodes that are tainted NoExecute, at once or after the time they tolerate.

Desired: no pod stays on a node with a NoExecute taint that it does not tolerate, nor longer than it tolerates it.
Observed: taints of nodes, tolerations of pods, and since when this process has seen the two together.
Writes: deletes pods, after saying why in the pod's condition DisruptionTarget.
"""

from collections.abc import Iterable, Sequence

import msgspec

from master.api.core.node import Node, Taint
from master.api.core.pod import Pod
from master.api.core.scheduling import Toleration
from master.api.status import NotFound
from master.client.rest import object_key
from master.controllers.base import Context, Controller, Watch
from master.controllers.informers import NODE_INDEX
from master.controllers.nodehealth import NO_EXECUTE
from master.controllers.podstate import is_finished


class Timer(msgspec.Struct, frozen=True):
    """Since when a pod has lived with taints that it bears for a while only."""

    uid: str
    started_s: float


class TaintEvictionController(Controller):
    name = "taint-eviction-controller"
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._nodes = context.informers.of(Node)
        self._pods = context.informers.pods_by_node()
        self._timers: dict[str, Timer] = {}

    def watches(self) -> Sequence[Watch]:
        return Watch(Pod, lambda pod: (object_key(pod),)), Watch(Node, self._keys_of_node)

    def _keys_of_node(self, node: Node) -> Iterable[str]:
        if not executing(node):
            return ()
        return [object_key(pod) for pod in self._pods.by_index(NODE_INDEX, node.metadata.name)]

    async def reconcile(self, key: str) -> float | None:
        pod = self._pods.get(key)
        node = self._nodes.get(pod.spec.node_name) if pod is not None else None
        if pod is None or node is None or pod.metadata.deletion_timestamp is not None or is_finished(pod):
            self._timers.pop(key, None)
            return None
        bearable_s = tolerated_s(executing(node), pod.spec.tolerations)
        if bearable_s is None:
            if self._timers.pop(key, None) is not None:
                self.events.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return None
        timer = self._timers.get(key)
        if timer is None or timer.uid != pod.metadata.uid:
            timer = self._timers[key] = Timer(pod.metadata.uid, self.env.clock())
        left_s = timer.started_s + bearable_s - self.env.clock()
        if left_s > 0:
            return left_s
        await self._evict(key, pod)
        return None

    async def _evict(self, key: str, pod: Pod) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": self.env.now(),
        }
        patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        try:
            await self.patch(key, pod, patch, subresource="status")
        except NotFound:
            return
        self.events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        await self.delete(key, pod, propagation="")


def executing(node: Node) -> list[Taint]:
    return [taint for taint in node.spec.taints if taint.effect == NO_EXECUTE]


def tolerated_s(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> float | None:
    """How long a pod may stay: None for ever, 0 not at all. Every taint must be tolerated; the shortest time counts."""
    times_s: list[float] = []
    for taint in taints:
        matching = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not matching:
            return 0.0
        limits_s = [toleration.toleration_seconds for toleration in matching]
        times_s.extend(max(0.0, float(limit_s)) for limit_s in limits_s if limit_s is not None)
    return min(times_s, default=None)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Kubernetes' ToleratesTaint: empty effect and (with Exists) empty key match all."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value
