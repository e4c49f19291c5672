"""The pod network of this node: set up once the node has its pod CIDR, with routes to the pods of every other node."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from master.api.core.node import Node
from master.client.informer import Informer
from master.client.store import Delta
from node.network.base import Network, NetworkError
from node.network.hostports import HostPorts

log = logging.getLogger(__name__)

RETRY_S = 1.0
RESYNC_S = 30.0
"""Routes that somebody removed come back within this time."""

LiveSandboxes = Callable[[], Awaitable[list[str]]]
"""Asks the engine which sandboxes run; addresses of all others are released once at the start."""


class NodeNetwork:
    """`ready` is set once pods can be attached; `error` says why they cannot."""

    def __init__(
        self,
        network: Network,
        host_ports: HostPorts,
        nodes: Informer[Node],
        node_name: str,
        memory: Path,
        live_sandboxes: LiveSandboxes,
    ) -> None:
        self._memory = memory
        """Remembers the CIDR: a node that restarts while no master answers can still run its pods."""
        self._network = network
        self._host_ports = host_ports
        self._nodes = nodes
        self._node_name = node_name
        self._live_sandboxes = live_sandboxes
        self._cidr = ""
        self._due = asyncio.Event()
        self.ready = asyncio.Event()
        self.error = "the pod network is not set up: the node has no pod CIDR yet"
        nodes.add_handler(self._on_delta)

    async def run(self) -> None:
        while True:
            pause_s = RESYNC_S
            try:
                await self._sync()
            except (NetworkError, OSError) as error:
                self.error = f"the pod network could not be set up: {error}"
                log.warning("%s", self.error)
                pause_s = RETRY_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()

    def _on_delta(self, delta: Delta[Node]) -> None:
        """Node objects change with every heartbeat; only addresses and CIDRs matter here."""
        if delta.old is None or delta.type == "DELETED" or _facts(delta.old) != _facts(delta.object):
            self._due.set()

    async def _sync(self) -> None:
        own = self._nodes.get(self._node_name)
        cidr = (own.spec.pod_cidr if own is not None else "") or self._remembered()
        if not cidr:
            return
        if cidr != self._cidr or not self.ready.is_set():
            await self._network.setup(cidr)
            # Before any pod is attached: an address given out after the look would be taken back again.
            live = await self._live_sandboxes()
            await self._network.reconcile(live)
            await self._host_ports.reconcile(live)
            log.info("the pod network is set up on %s", cidr)
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            self._memory.write_text(cidr)
            self._cidr = cidr
        if self._nodes.has_synced:  # routes of an earlier kubelet stay until it is known which are right
            await self._network.sync_routes(routes(self._nodes.list(), self._node_name))
        self.error = ""
        self.ready.set()

    def _remembered(self) -> str:
        return self._memory.read_text().strip() if self._memory.exists() else ""


def routes(nodes: Iterable[Node], own_name: str) -> dict[str, str]:
    """Pod CIDR of every other node → its address. Pure."""
    found: dict[str, str] = {}
    for node in nodes:
        address = internal_ip(node)
        if node.metadata.name != own_name and node.spec.pod_cidr and address:
            found[node.spec.pod_cidr] = address
    return found


def internal_ip(node: Node) -> str:
    for address in node.status.addresses:
        if address.type == "InternalIP":
            return address.address
    return ""


def _facts(node: Node) -> tuple[str, str]:
    return node.spec.pod_cidr, internal_ip(node)
