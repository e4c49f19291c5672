"""Every node gets a piece of the cluster's pod network.

Desired: each Node has a `spec.podCIDR` of its own out of the cluster CIDR, which never changes. Observed: the CIDRs
that nodes have. Writes: podCIDR and podCIDRs of nodes that have none.
"""

import ipaddress
from collections.abc import Iterable, Sequence

from master.api.core.node import Node
from master.controllers.base import Context, Controller, Watch

RETRY_EXHAUSTED_S = 10.0


class NodeIpamController(Controller):
    name = "node-ipam-controller"
    workers = 1  # two pairs of hands could give the same piece away twice

    def __init__(self, context: Context, *, cluster_cidr: str, node_mask: int) -> None:
        super().__init__(context)
        self._network = ipaddress.ip_network(cluster_cidr)
        self._node_mask = node_mask
        self._nodes = context.informers.of(Node)
        self._given: dict[str, str] = {}
        """What this process gave away and the cache may not show yet."""

    def watches(self) -> Sequence[Watch]:
        return (Watch(Node, lambda node: (node.metadata.name,)),)

    async def reconcile(self, key: str) -> float | None:
        node = self._nodes.get(key)
        if node is None or node.spec.pod_cidr:
            self._given.pop(key, None)
            return None
        taken = [other.spec.pod_cidr for other in self._nodes.list() if other.spec.pod_cidr]
        given = [cidr for name, cidr in self._given.items() if name != key]
        cidr = plan_cidr(self._network, self._node_mask, [*taken, *given])
        if cidr is None:
            self.events.event(node, "Warning", "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable")
            return RETRY_EXHAUSTED_S
        self._given[key] = cidr
        meta = {"resourceVersion": node.metadata.resource_version}
        await self.patch(key, node, {"metadata": meta, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})
        return None


def plan_cidr(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, node_mask: int, taken: Iterable[str]
) -> str | None:
    """The lowest free piece of the network, None when there is none. Whatever `taken` touches is not free."""
    used = [ipaddress.ip_network(cidr) for cidr in taken]
    size = 1 << (network.max_prefixlen - node_mask)
    blocked = sorted(
        (int(other.network_address), int(other.broadcast_address)) for other in used if other.version == network.version
    )
    candidate = int(network.network_address)
    for first, last in blocked:
        if candidate + size <= first:
            break
        if last >= candidate:
            candidate = -(-(last + 1) // size) * size
    if candidate + size - 1 > int(network.broadcast_address):
        return None
    return f"{type(network.network_address)(candidate)}/{node_mask}"
