"""What chaos must know about a cluster on this machine, and the one thing it asks of it: to power a host on.

The command line's local cluster implements this; so can any other arrangement of namespaces, cgroups and a bridge.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

NETNS_DIR = Path("/run/netns")


class FabricHost(msgspec.Struct, frozen=True):
    """One host. Its port on the fabric's bridge has the host's name."""

    name: str
    role: Literal["master", "node"]
    address: str
    netns: str
    cgroup: str  # "/timonier/node-1": everything that runs there is in it or below


class Fabric(Protocol):
    """A local cluster under test."""

    @property
    def netns(self) -> str:
        """The namespace of the bridge that joins the hosts, by name ("timonier-fab")."""

    @property
    def hosts(self) -> Sequence[FabricHost]:
        """Every host, running or not."""

    def start(self, name: str) -> None:
        """Power a host on, whatever its former life left behind (mounts, sockets, /run). Blocks until it is started,
        not until it is Ready; a host that runs already is left alone."""


class UnknownHost(Exception):
    """No host of that name."""


def find_host(fabric: Fabric, name: str) -> FabricHost:
    """Raises UnknownHost with the names that exist."""
    for host in fabric.hosts:
        if host.name == name:
            return host
    raise UnknownHost(f"no host {name!r}; hosts are {', '.join(h.name for h in fabric.hosts)}")
