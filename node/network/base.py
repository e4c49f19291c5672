"""The pod network's seam: an address for each sandbox, and routes to the pods of other nodes.

Called inside the node's network namespace. `setup` comes first and again whenever the node's pod CIDR is known
anew; every verb is idempotent, because the kubelet repeats what it is not sure of.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from node.engine.base import SandboxState


class NetworkError(Exception):
    """The network could not be set up, or a sandbox not attached; the message is fit for an Event."""


class NetworkNotReady(NetworkError):
    """`setup` has not succeeded yet: the node has no pod CIDR."""


class PodNetwork(msgspec.Struct, frozen=True):
    """What a sandbox was given."""

    ip: str
    gateway: str
    interface: str = "eth0"


class Network(Protocol):
    """See the module's docstring; raises `NetworkError`."""

    kind: str

    async def setup(self, pod_cidr: str) -> None:
        """Prepares the node (bridge, forwarding, masquerade for traffic that leaves the cluster)."""
        ...

    async def attach(self, sandbox: SandboxState) -> PodNetwork:
        """Gives the sandbox its interface; the same answer when it has one already."""
        ...

    async def detach(self, sandbox_id: str) -> None:
        """Takes interface and address back; succeeds when there is nothing (any more)."""
        ...

    async def sync_routes(self, routes: Mapping[str, str]) -> None:
        """Routes exactly these {pod CIDR of another node: that node's address}."""
        ...

    async def reconcile(self, live_sandbox_ids: Iterable[str]) -> None:
        """Releases the addresses of sandboxes that are gone (after a crash or a reboot)."""
        ...

    async def teardown(self) -> None:
        """Removes everything `setup` and `sync_routes` made."""
        ...
