"""The cgroup of a host: everything that runs there is inside, so that a power cut is one write.

Works with cgroup v2, with v1, and with v1 plus the unified hierarchy (as Debian and Docker machines have it).
"""

import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("unified", "freezer", "pids", "memory", "cpu", "blkio", "systemd")


def hierarchies(root: Path = CGROUP_ROOT) -> list[Path]:
    """The mounted hierarchies in which hosts get a group: one on a v2 machine, several on v1."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [root / name for name in V1_CONTROLLERS if (root / name / "cgroup.procs").exists()]


def enter(cgroup: str) -> None:
    """Moves the calling process into `<cgroup>/sys` (between fork and exec of a supervisor)."""
    for hierarchy in hierarchies():
        leaf = hierarchy / cgroup.lstrip("/") / "sys"
        leaf.mkdir(parents=True, exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")


def remove(cgroup: str) -> list[str]:
    """Removes the empty groups bottom up, in every hierarchy of the machine; returns those that stayed."""
    stayed = []
    roots = {CGROUP_ROOT, *(p for p in CGROUP_ROOT.iterdir() if p.is_dir())}
    for root in roots:
        for folder, _, _ in os.walk(root / cgroup.lstrip("/"), topdown=False):
            try:
                os.rmdir(folder)
            except OSError as error:
                stayed.append(f"{folder}: {error.strerror}")
    return stayed
