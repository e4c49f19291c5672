"""The local cluster as the chaos laboratory sees it."""

from collections.abc import Sequence

from chaos.fabric import FabricHost
from cli.cluster import hosts
from cli.cluster.layout import Layout


class LocalFabric:
    """Implements `chaos.fabric.Fabric` for a cluster of this machine."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def netns(self) -> str:
        return self._layout.fabric_netns

    @property
    def hosts(self) -> Sequence[FabricHost]:
        layout = self._layout
        return [
            FabricHost(h.name, h.role, h.address, layout.netns(h.name), layout.cgroup(h.name)) for h in layout.hosts
        ]

    def start(self, name: str) -> None:
        hosts.power_on(self._layout, name)
