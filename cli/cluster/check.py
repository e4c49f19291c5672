"""What a machine must have to run a local cluster: probes that only look, and what to install for each.

`timonier check` prints the findings; `make up` installs what is missing from the same list.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from cli.cluster.layout import EngineKind


class Requirement(msgspec.Struct, frozen=True):
    """`package` is the Debian package that brings it ("" when no package does)."""

    name: str
    why: str
    package: str
    present: Callable[[], bool]
    engines: tuple[EngineKind, ...] = ("docker", "embedded")
    optional: bool = False


class Finding(msgspec.Struct, frozen=True):
    name: str
    ok: bool
    optional: bool
    why: str
    remedy: str


def _command(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _file(path: str) -> Callable[[], bool]:
    return lambda: Path(path).exists()


REQUIREMENTS = [
    Requirement("Linux", "network namespaces and cgroups", "", lambda: platform.system() == "Linux"),
    Requirement("root", "to make namespaces, cgroups and mounts", "", lambda: os.geteuid() == 0),
    Requirement("Python >= 3.11", "the language of everything here", "python3", lambda: sys.version_info >= (3, 11)),
    Requirement("ip", "hosts and pods are network namespaces", "iproute2", _command("ip")),
    Requirement("nsenter", "processes are started inside their host", "util-linux", _command("nsenter")),
    Requirement("sysctl", "forwarding in node namespaces", "procps", _command("sysctl")),
    Requirement("iptables", "services are iptables rules", "iptables", _command("iptables-legacy")),
    Requirement("ipset", "network policies match sets of addresses", "ipset", _command("ipset")),
    Requirement("conntrack", "stale UDP flows are removed", "conntrack", _command("conntrack")),
    Requirement("openssl", "certificates of the cluster", "openssl", _command("openssl")),
    Requirement("busybox", "the sample's image is built from it", "busybox-static", _file("/bin/busybox")),
    Requirement("cgroup", "a host's processes are one group", "", _file("/sys/fs/cgroup")),
    Requirement("dockerd", "the docker engine, one per node", "docker.io", _command("dockerd"), ("docker",)),
    Requirement("runc", "the embedded engine prefers it to its own launcher", "runc", _command("runc"), optional=True),
    Requirement("kubectl", "any version drives the cluster", "kubernetes-client", _command("kubectl"), optional=True),
]


def findings(engine: EngineKind) -> list[Finding]:
    """One finding per requirement of that engine."""
    return [_look(requirement) for requirement in REQUIREMENTS if engine in requirement.engines]


def missing_packages(engine: EngineKind) -> list[str]:
    """Debian packages that would satisfy what is missing, optional ones included."""
    wanted = [r.package for r in REQUIREMENTS if engine in r.engines and r.package and not r.present()]
    return sorted(set(wanted))


def detect_engine() -> EngineKind:
    """Docker where there is one, else the embedded engine."""
    return "docker" if _command("dockerd")() else "embedded"


def _look(requirement: Requirement) -> Finding:
    ok = requirement.present()
    remedy = "" if ok else (f"apt-get install {requirement.package}" if requirement.package else "this machine cannot")
    return Finding(requirement.name, ok, requirement.optional, requirement.why, remedy)
