"""What the kubelet knows of a pod beyond its spec and the engine's view: the third argument of every pure decision."""

from typing import Literal

import msgspec

from master.api.core.pod import PodStatus
from node.restarts import RestartBackoff


class Waiting(msgspec.Struct, frozen=True):
    """Why a container does not run yet."""

    reason: str
    message: str = ""


class ProbeView(msgspec.Struct, frozen=True):
    """What the probes say of one running container; a container without probes is started and ready."""

    started: bool = True
    ready: bool = True
    failed: Literal["", "Liveness", "Startup"] = ""
    grace_s: float | None = None
    """The failed probe's own termination grace period, where it has one."""


class Ending(msgspec.Struct, frozen=True):
    """An order to end the pod, and when it was first given.

    `remove`: it was deleted, so nothing of it stays. Otherwise the dead containers are kept for their logs and the
    pod becomes Failed with this reason (Evicted, DeadlineExceeded, OutOfcpu …)."""

    grace_s: float
    started_s: float
    remove: bool
    reason: str = ""
    message: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """`prior` is the status last reported, by this process or by the one before it."""

    now_s: float
    prior: PodStatus
    engine: str = "embedded"
    host_ip: str = ""
    pod_ip: str = ""
    generation: int = 0
    waiting: dict[str, Waiting] = {}
    probes: dict[str, ProbeView] = {}
    """By container id."""
    messages: dict[str, str] = {}
    """Termination messages by container id."""
    backoffs: dict[str, RestartBackoff] = {}
    hashes: dict[str, str] = {}
    """The hash of each container's definition now, by name; a container started from another one is replaced."""
    ending: Ending | None = None


NO_PROBES = ProbeView()


def probe_of(facts: Facts, container_id: str) -> ProbeView:
    return facts.probes.get(container_id, NO_PROBES)
