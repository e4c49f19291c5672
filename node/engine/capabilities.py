"""Which Linux capabilities a container gets: defaults, additions, drops, and what this machine allows. Pure,
but for `bounding_set`, which reads one file."""

import re
from collections.abc import Iterable
from pathlib import Path

# linux/capability.h, in the order of their numbers.
NAMES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
NUMBER = {name: number for number, name in enumerate(NAMES)}

# What Docker and containerd give an ordinary container.
DEFAULTS = frozenset(
    {
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP"),
        *("SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    }
)
ALL = "ALL"


class UnknownCapability(ValueError):
    """A name that is no capability of Linux."""


def effective(
    add: Iterable[str], drop: Iterable[str], allowed: frozenset[str], *, privileged: bool = False
) -> frozenset[str]:
    """The capabilities of a container: drops first when they are ALL, then additions, clipped to `allowed`."""
    if privileged:
        return allowed
    added, dropped = normal(add), normal(drop)
    base: frozenset[str] = frozenset() if ALL in dropped else DEFAULTS
    if ALL in added:
        base = frozenset(NAMES)
    return ((base | added) - (dropped - added if ALL in dropped else dropped) - {ALL}) & allowed


def normal(names: Iterable[str]) -> frozenset[str]:
    """Without CAP_ and in capitals; raises `UnknownCapability`."""
    return frozenset(_normal(name) for name in names)


def bits(names: Iterable[str]) -> int:
    return sum(1 << NUMBER[name] for name in names)


def from_bits(mask: int) -> frozenset[str]:
    return frozenset(name for name, number in NUMBER.items() if mask >> number & 1)


def bounding_set(status_file: Path = Path("/proc/self/status")) -> frozenset[str]:
    """What this process may ever hand on; a virtual machine or container may lack some."""
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status_file.read_text(), re.MULTILINE)
    return from_bits(int(found.group(1), 16)) if found else frozenset(NAMES)


def own_oom_score_adj(file: Path = Path("/proc/self/oom_score_adj")) -> int:
    """Without SYS_RESOURCE nobody may ask for less than this."""
    return int(file.read_text())


def degradations(allowed: frozenset[str]) -> list[str]:
    """What to tell the operator about a machine that does not allow everything."""
    missing = sorted(frozenset(NAMES[: NUMBER["AUDIT_READ"] + 1]) - allowed)
    if not missing:
        return []
    told = [f"capabilities {', '.join(missing)} are not available here: privileged containers run without them"]
    if "SYS_RESOURCE" in missing:
        told.append("oom_score_adj cannot be lowered on this machine")
    return told


def _normal(name: str) -> str:
    upper = name.upper().removeprefix("CAP_")
    if upper != ALL and upper not in NUMBER:
        raise UnknownCapability(f"unknown capability {name!r}")
    return upper
