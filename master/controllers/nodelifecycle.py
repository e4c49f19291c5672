"""Nodes that fall silent: told apart from ours being deaf, marked Unknown, tainted, their pods taken out of service.

Desired: a node whose kubelet renews its Lease keeps what it reports; one that has not for the grace period is Unknown,
tainted, and its pods are not Ready. Observed: Node leases and heartbeats, by when *this process* saw them change on its
monotonic clock (remote timestamps are compared for equality only); a new leader gives every node a full grace period.
Writes: node conditions and taints, the Ready condition of a lost node's pods. Evicting is `tainteviction.py`'s.
"""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from master.api.coordination.lease import Lease
from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.status import NotFound
from master.client.consistency import version_number
from master.controllers.base import Context, Controller, Watch
from master.controllers.informers import NODE_INDEX
from master.controllers.nodehealth import (
    Execute,
    eviction_rate,
    is_evicting,
    plan_conditions,
    plan_taints,
    ready_status,
)
from master.controllers.podstate import is_ready

LEASE_NAMESPACE = "kube-node-lease"
RECHECK_S = 1.0
"""A node that is not ready is looked at again so often: the state of the others decides about its pods."""
DOUBTFUL_SHARE = 0.5
"""Of the grace period; leases are renewed twice as often at least."""
MAX_CONCURRENT_MARKS = 16


class Sighting(msgspec.Struct):
    """A node's last sign of life and when we saw it, by our own clock."""

    sign: str
    seen_s: float


class NodeLifecycleController(Controller):
    name = "node-lifecycle-controller"

    def __init__(self, context: Context, *, grace_s: float) -> None:
        super().__init__(context)
        self._grace_s = grace_s
        self._nodes = context.informers.of(Node)
        self._leases = context.informers.of(Lease)
        self._pods = context.informers.pods_by_node()
        self._sightings: dict[str, Sighting] = {}
        self._asked: dict[str, Lease] = {}
        """Leases as the server gave them; the cache may be behind for a while."""
        self._next_eviction_s = 0.0

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(Node, self._keys_of_node),
            Watch(Lease, keys_of_lease),
            Watch(Pod, lambda pod: (pod.spec.node_name,) if self._is_lost(pod.spec.node_name) else ()),
        )

    def _keys_of_node(self, node: Node) -> Iterable[str]:
        """One more node that is not ready may be the last one, which changes the verdict on those before it."""
        yield node.metadata.name
        if ready_status(node) != "True":
            yield from (other.metadata.name for other in self._nodes.list() if is_evicting(other))

    def _is_lost(self, name: str) -> bool:
        node = self._nodes.get(name) if name else None
        return node is not None and ready_status(node) == "Unknown"

    async def reconcile(self, key: str) -> float | None:
        node = self._nodes.get(key)
        if node is None:
            self._sightings.pop(key, None)
            self._asked.pop(key, None)
            return None
        left_s = self._left_s(node, self._known_lease(key))
        if left_s <= 0:
            left_s = self._left_s(node, await self._live_lease(key))
        if left_s <= 0:
            node = await self._give_up(key, node)
            await self._mark_pods(key)
        node = await self._taint(key, node)
        return left_s if ready_status(node) == "True" else min(RECHECK_S, left_s if left_s > 0 else RECHECK_S)

    def _left_s(self, node: Node, lease: Lease | None) -> float:
        """What is left of the grace period after this look."""
        sign, now_s = sign_of_life(node, lease), self.env.clock()
        sighting = self._sightings.get(node.metadata.name)
        if sighting is None or sighting.sign != sign:
            sighting = self._sightings[node.metadata.name] = Sighting(sign, now_s)
        return sighting.seen_s + self._grace_s - now_s

    def _known_lease(self, name: str) -> Lease | None:
        """The newest that was seen: an old state that a hanging watch still shows is no new sign of life."""
        cached, asked = self._leases.get(f"{LEASE_NAMESPACE}/{name}"), self._asked.get(name)
        if cached is None or asked is None:
            return cached or asked
        return max(asked, cached, key=lambda lease: version_number(lease.metadata.resource_version))

    async def _live_lease(self, name: str) -> Lease | None:
        """Asked of the server: a watch of ours that hangs must not cost a node its pods."""
        try:
            lease = self._asked[name] = await self.client.get(Lease, name, LEASE_NAMESPACE)
        except NotFound:
            self._asked.pop(name, None)
            return None
        return lease

    async def _give_up(self, key: str, node: Node) -> Node:
        conditions = plan_conditions(node, self.env.now())
        if conditions == node.status.conditions:
            return node
        was_ready = ready_status(node) == "True"
        status = msgspec.structs.replace(node.status, conditions=conditions)
        node = await self.update(key, msgspec.structs.replace(node, status=status), subresource="status")
        if was_ready:
            self.events.event(node, "Normal", "NodeNotReady", f"Node {key} status is now: NodeNotReady")
        return node

    async def _taint(self, key: str, node: Node) -> Node:
        taints = plan_taints(node, self._may_execute(node), self.env.now())
        if taints is node.spec.taints:
            return node
        # The whole list is replaced, so only if it is still the one that was read.
        meta = {"resourceVersion": node.metadata.resource_version}
        patch = {"metadata": meta, "spec": {"taints": msgspec.to_builtins(taints) or None}}
        was_evicting = is_evicting(node)
        node = await self.patch(key, node, patch, patch_type="merge")
        if is_evicting(node) and not was_evicting:
            rate = self._eviction_rate(node)
            self._next_eviction_s = self.env.clock() + (1 / rate if rate else 0.0)
        return node

    def _may_execute(self, node: Node) -> Execute:
        rate = self._eviction_rate(node)
        if rate is None:
            return Execute.CANCEL
        return Execute.ALLOW if rate > 0 and self.env.clock() >= self._next_eviction_s else Execute.HOLD

    def _eviction_rate(self, node: Node) -> float | None:
        """`node` as this round knows it; the cache may not show yet what was written about it."""
        others = [other for other in self._nodes.list() if other.metadata.name != node.metadata.name]
        lost = (ready_status(node) != "True") + sum(self._is_doubtful(other) for other in others)
        return eviction_rate(lost, 1 + len(others))

    def _is_doubtful(self, node: Node) -> bool:
        """Not ready, or silent so long that it may be: when all fall silent together, the first must not be evicted."""
        sighting = self._sightings.get(node.metadata.name)
        silent_s = self.env.clock() - sighting.seen_s if sighting is not None else 0.0
        return ready_status(node) != "True" or silent_s > self._grace_s * DOUBTFUL_SHARE

    async def _mark_pods(self, key: str) -> None:
        """A pod that nobody reports on must not get traffic; its kubelet says otherwise when it is back."""
        limit = asyncio.Semaphore(MAX_CONCURRENT_MARKS)

        async def mark(pod: Pod) -> None:
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": self.env.now()}
            patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
            async with limit:
                try:
                    await self.patch(key, pod, patch, subresource="status")
                except NotFound:
                    return
            self.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")

        await asyncio.gather(*(mark(pod) for pod in self._pods.by_index(NODE_INDEX, key) if is_ready(pod)))


def keys_of_lease(lease: Lease) -> Iterable[str]:
    """A node's lease bears its name; leases elsewhere are about leadership."""
    return (lease.metadata.name,) if lease.metadata.namespace == LEASE_NAMESPACE else ()


def sign_of_life(node: Node, lease: Lease | None) -> str:
    """Any change of this text is a sign of life; its value means nothing."""
    renewed = (lease.spec.renew_time if lease is not None else None) or ""
    heartbeats = [
        condition.last_heartbeat_time or "" for condition in node.status.conditions if condition.type == "Ready"
    ]
    return "|".join([node.metadata.uid, renewed, *heartbeats])
