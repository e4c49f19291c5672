"""Power over everything below a cgroup: list, kill, freeze. Works with v2, v1, and v1 beside a unified hierarchy."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
POLL_S = 0.005
KILL_TIMEOUT_S = 20.0
FREEZE_TIMEOUT_S = 5.0


class CgroupStuck(Exception):
    """A group did not reach the state asked for."""


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The mount points of cgroup hierarchies: one on a v2 machine, several otherwise."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return sorted(path for path in root.iterdir() if not path.is_symlink() and (path / "cgroup.procs").exists())


def groups(cgroup: str, root: Path = ROOT) -> Iterator[Path]:
    """The group in every hierarchy that has it."""
    for hierarchy in hierarchies(root):
        group = hierarchy / cgroup.strip("/")
        if group.is_dir():
            yield group


def exists(cgroup: str, root: Path = ROOT) -> bool:
    return any(True for _ in groups(cgroup, root))


def pids(cgroup: str, root: Path = ROOT) -> set[int]:
    """Every process in the group or below, in any hierarchy."""
    found: set[int] = set()
    for group in groups(cgroup, root):
        for folder, _, _ in os.walk(group):
            with contextlib.suppress(OSError):  # a group may vanish while we walk
                found |= {int(line) for line in Path(folder, "cgroup.procs").read_text().split()}
    return found


def kill(cgroup: str, root: Path = ROOT, timeout_s: float = KILL_TIMEOUT_S) -> None:
    """SIGKILL to everything at once, and again to what was being born, until the group is empty.

    `cgroup.kill` (Linux 5.14) is atomic; listing processes is the way without it, and for what is only in v1 groups.
    Returns when no process is left: pod and engine are then as dead as after a power cut."""
    thaw(cgroup, root)  # the v1 freezer would hold the signal back
    deadline = time.monotonic() + timeout_s
    while True:
        for group in groups(cgroup, root):
            with contextlib.suppress(OSError):
                (group / "cgroup.kill").write_text("1")
        left = pids(cgroup, root)
        if not left and not any(is_populated(group) for group in groups(cgroup, root)):
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise CgroupStuck(f"{cgroup}: processes {sorted(left)} do not die")
        time.sleep(POLL_S)


def is_populated(group: Path) -> bool:
    """By the kernel's own word where there is one (v2); zombies do not count."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def freeze(cgroup: str, root: Path = ROOT) -> None:
    """Stop everything in its tracks; returns when all is still."""
    _set_frozen(cgroup, root, frozen=True)


def thaw(cgroup: str, root: Path = ROOT) -> None:
    _set_frozen(cgroup, root, frozen=False)


def is_frozen(cgroup: str, root: Path = ROOT) -> bool:
    return any(_state(group) for group in groups(cgroup, root))


def _set_frozen(cgroup: str, root: Path, *, frozen: bool) -> None:
    """Through v1's freezer if the group is there, else v2's cgroup.freeze: one is enough, two would need two thaws.
    Thawing undoes both."""
    own = list(groups(cgroup, root))
    switches = [g for g in own if (g / "freezer.state").exists()] or [g for g in own if (g / "cgroup.freeze").exists()]
    for group in switches if frozen else own:
        with contextlib.suppress(OSError):  # the file is of the other cgroup version
            if (group / "freezer.state").exists():
                (group / "freezer.state").write_text("FROZEN" if frozen else "THAWED")
            elif (group / "cgroup.freeze").exists():
                (group / "cgroup.freeze").write_text("1" if frozen else "0")
    deadline = time.monotonic() + FREEZE_TIMEOUT_S
    while any(_state(group) != frozen for group in switches):
        if time.monotonic() > deadline:
            raise CgroupStuck(f"{cgroup} does not {'freeze' if frozen else 'thaw'}")
        time.sleep(POLL_S)


def _state(group: Path) -> bool:
    """Whether a group is wholly frozen."""
    with contextlib.suppress(OSError):
        return (group / "freezer.state").read_text().strip() == "FROZEN"
    with contextlib.suppress(OSError):
        return "frozen 1" in (group / "cgroup.events").read_text()
    return False
