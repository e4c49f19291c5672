"""Faults of whole hosts: power cut, freeze."""

import msgspec

from chaos import cgroups
from chaos.fabric import Fabric, FabricHost, find_host
from chaos.faults.network import CablePulled


class HostKill:
    """A power cut: every process and container of the host ends at once, and its network goes dark.

    The cable matters: the namespace's kernel would otherwise go on answering pings and translating node ports, which
    no dead machine does."""

    def __init__(self, fabric: Fabric, host: str) -> None:
        self._fabric, self._host = fabric, find_host(fabric, host)
        self._cable = CablePulled(fabric, host)

    @property
    def name(self) -> str:
        return f"kill {self._host.name}"

    def arm(self) -> None:
        self._cable.arm()
        cgroups.kill(self._host.cgroup)

    def disarm(self) -> None:
        self._cable.disarm()
        self._fabric.start(self._host.name)

    def describe(self) -> str:
        return f"power cut of {self._host.role} {self._host.name}: all its processes and containers end at once"


class HostPause:
    """The host stands still, as a virtual machine that is being moved: nothing is lost, nothing answers."""

    def __init__(self, fabric: Fabric, host: str) -> None:
        self._host = find_host(fabric, host)

    @property
    def name(self) -> str:
        return f"pause {self._host.name}"

    def arm(self) -> None:
        cgroups.freeze(self._host.cgroup)

    def disarm(self) -> None:
        cgroups.thaw(self._host.cgroup)

    def describe(self) -> str:
        return f"freeze of {self._host.role} {self._host.name}: its processes stop and later go on"


class HostState(msgspec.Struct, frozen=True):
    """What the kernel says about a host."""

    name: str
    processes: int
    is_frozen: bool
    is_cut_off: bool


def host_state(fabric: Fabric, host: FabricHost) -> HostState:
    """For status displays and tests."""
    return HostState(
        host.name,
        len(cgroups.pids(host.cgroup)),
        cgroups.is_frozen(host.cgroup),
        CablePulled(fabric, host.name).is_armed(),
    )
