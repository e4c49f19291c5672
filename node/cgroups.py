"""Cgroups of pods and containers, on cgroup v1 (also with the unified hierarchy beside it) and on v2.

A group is one absolute path ("/timonier/node-1/pod42/abc") that exists in every hierarchy of the machine. What to
write where is pure (`v1_settings`, `v2_settings`); `Cgroups` writes it. v2 allows processes only in leaves, so pods
are inner groups and containers leaves, and controllers are switched on along the way.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Protocol

import msgspec

ROOT = Path("/sys/fs/cgroup")
CPU_PERIOD_US = 100_000
# The kernel's bounds and default of cpu.shares, and of the weight that replaced it.
SHARES_MIN, SHARES_DEFAULT, SHARES_MAX = 2, 1024, 262144
WEIGHT_MAX = 10_000
PIDS_UNLIMITED = "max"
# cpuset is left out: a fresh group there has no CPU and takes no process.
V1_CONTROLLERS = ("unified", "freezer", "pids", "memory", "cpu", "cpuacct", "blkio", "devices", "systemd")
V2_CONTROLLERS = ("cpu", "memory", "pids", "io")
KILL_TIMEOUT_S = 10.0
KILL_POLL_S = 0.005
# null, zero, full, random, urandom, tty, ptmx, pts, and making nodes of any kind (not opening them): as runc does.
ALLOWED_DEVICES = (
    *("c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm"),
    *("c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"),
)

Settings = list[tuple[str, str, str]]
"""(controller, file, text) in the order of writing."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """0 means without limit, or the kernel's default share."""

    cpu_shares: int = 0
    cpu_quota_us: int = 0
    memory_bytes: int = 0
    pids: int = 0
    all_devices: bool = False


class Usage(msgspec.Struct, frozen=True):
    """What a group has used since it was made (CPU) and holds now (memory)."""

    cpu_ns: int
    memory_bytes: int


def weight_of(shares: int) -> int:
    """cpu.shares [2..262144] → cpu.weight [1..10000], linear as runc and the kubelet do it."""
    clamped = min(max(shares, SHARES_MIN), SHARES_MAX)
    return 1 + (clamped - SHARES_MIN) * (WEIGHT_MAX - 1) // (SHARES_MAX - SHARES_MIN)


def v1_settings(limits: Limits) -> Settings:
    """Files of the v1 controllers. Swap is bounded with memory, or a limit would only move pages."""
    settings: Settings = []
    if limits.cpu_shares:
        settings.append(("cpu", "cpu.shares", str(min(max(limits.cpu_shares, SHARES_MIN), SHARES_MAX))))
    if limits.cpu_quota_us:
        settings.append(("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_US)))
        settings.append(("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota_us)))
    if limits.memory_bytes:
        settings.append(("memory", "memory.limit_in_bytes", str(limits.memory_bytes)))
        settings.append(("memory", "memory.memsw.limit_in_bytes", str(limits.memory_bytes)))
    if limits.pids:
        settings.append(("pids", "pids.max", str(limits.pids)))
    return settings


def v1_devices() -> Settings:
    """Deny all, allow what every container may use."""
    allowed: Settings = [("devices", "devices.allow", rule) for rule in ALLOWED_DEVICES]
    return [("devices", "devices.deny", "a"), *allowed]


def v2_settings(limits: Limits) -> Settings:
    """Files of the one v2 hierarchy."""
    settings: Settings = []
    if limits.cpu_shares:
        settings.append(("", "cpu.weight", str(weight_of(limits.cpu_shares))))
    if limits.cpu_quota_us:
        settings.append(("", "cpu.max", f"{limits.cpu_quota_us} {CPU_PERIOD_US}"))
    if limits.memory_bytes:
        settings.append(("", "memory.max", str(limits.memory_bytes)))
        settings.append(("", "memory.swap.max", "0"))
    if limits.pids:
        settings.append(("", "pids.max", str(limits.pids)))
    return settings


class Cgroups(Protocol):
    """The groups of this machine."""

    version: int

    def create(self, group: str, limits: Limits | None = None, *, leaf: bool = True) -> None:
        """Makes the group and its parents, and sets what `limits` asks for."""
        ...

    def procs_files(self, group: str) -> list[Path]:
        """Write "0" into each to join."""
        ...

    def pids(self, group: str) -> set[int]: ...

    def kill(self, group: str) -> None:
        """Ends every process of the group and below it, and waits until they are gone."""
        ...

    def remove(self, group: str) -> bool:
        """Removes the group and what is below it; False when something in it still lives."""
        ...

    def oom_kills(self, group: str) -> int:
        """How many processes the kernel ended for want of memory."""
        ...

    def usage(self, group: str) -> Usage | None: ...


def detect(root: Path = ROOT) -> Cgroups:
    """The back end that fits how this machine has mounted its cgroups."""
    return CgroupsV2(root) if (root / "cgroup.controllers").exists() else CgroupsV1(root)


class CgroupsV1:
    """One folder per controller, and the unified hierarchy beside them where it is mounted."""

    version = 1

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        found = [root / name for name in V1_CONTROLLERS if (root / name / "cgroup.procs").exists()]
        # cpu and cpuacct are often one hierarchy under two names.
        self._hierarchies = list({path.resolve(): path for path in found}.values())

    def create(self, group: str, limits: Limits | None = None, *, leaf: bool = True) -> None:
        for hierarchy in self._hierarchies:
            _below(hierarchy, group).mkdir(parents=True, exist_ok=True)
        wanted = limits or Limits()
        settings = v1_settings(wanted) + ([] if wanted.all_devices or not leaf else v1_devices())
        _write_settings(lambda controller: _below(self._root / controller, group), settings)

    def procs_files(self, group: str) -> list[Path]:
        return [_below(hierarchy, group) / "cgroup.procs" for hierarchy in self._hierarchies]

    def pids(self, group: str) -> set[int]:
        return _pids(_below(self._root / "pids", group)) | _pids(_below(self._root / "unified", group))

    def kill(self, group: str) -> None:
        _kill(lambda: self.pids(group), _below(self._root / "unified", group) / "cgroup.kill")

    def remove(self, group: str) -> bool:
        stayed = [path for path in self._all_hierarchies() if not _remove_tree(_below(path, group))]
        return not stayed

    def oom_kills(self, group: str) -> int:
        return _counter(_below(self._root / "memory", group) / "memory.oom_control", "oom_kill")

    def usage(self, group: str) -> Usage | None:
        cpu = _number(_below(self._root / "cpuacct", group) / "cpuacct.usage")
        memory = _number(_below(self._root / "memory", group) / "memory.usage_in_bytes")
        return None if cpu is None or memory is None else Usage(cpu, memory)

    def _all_hierarchies(self) -> list[Path]:
        """Docker makes groups in controllers we leave alone, such as cpuset."""
        return [path for path in self._root.iterdir() if path.is_dir() and not path.is_symlink()]


class CgroupsV2:
    """The one hierarchy of a current machine."""

    version = 2

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root

    def create(self, group: str, limits: Limits | None = None, *, leaf: bool = True) -> None:
        folder = self._root
        for part in group.strip("/").split("/"):
            self._enable_controllers(folder)
            folder = folder / part
            folder.mkdir(exist_ok=True)
        _write_settings(lambda _: _below(self._root, group), v2_settings(limits or Limits()))

    def procs_files(self, group: str) -> list[Path]:
        return [_below(self._root, group) / "cgroup.procs"]

    def pids(self, group: str) -> set[int]:
        return _pids(_below(self._root, group))

    def kill(self, group: str) -> None:
        _kill(lambda: self.pids(group), _below(self._root, group) / "cgroup.kill")

    def remove(self, group: str) -> bool:
        return _remove_tree(_below(self._root, group))

    def oom_kills(self, group: str) -> int:
        return _counter(_below(self._root, group) / "memory.events", "oom_kill")

    def usage(self, group: str) -> Usage | None:
        folder = _below(self._root, group)
        memory = _number(folder / "memory.current")
        return None if memory is None else Usage(_counter(folder / "cpu.stat", "usage_usec") * 1000, memory)

    def _enable_controllers(self, folder: Path) -> None:
        available = (folder / "cgroup.controllers").read_text().split()
        for name in V2_CONTROLLERS:
            if name in available:
                # One by one: a controller that is busy elsewhere must not keep the others off.
                with contextlib.suppress(OSError):
                    (folder / "cgroup.subtree_control").write_text(f"+{name}")


def _below(hierarchy: Path, group: str) -> Path:
    return hierarchy / group.strip("/")


def _write_settings(folder_of: "_FolderOf", settings: Settings) -> None:
    for controller, file, text in settings:
        path = folder_of(controller) / file
        # A kernel built without a controller (or swap accounting) has no such file: nothing to bound there.
        if path.exists():
            path.write_text(text)


class _FolderOf(Protocol):
    def __call__(self, controller: str, /) -> Path: ...


class _PidsOf(Protocol):
    def __call__(self) -> set[int]: ...


def _pids(folder: Path) -> set[int]:
    found: set[int] = set()
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            found.update(int(line) for line in (Path(path) / "cgroup.procs").read_text().split())
    return found


def _kill(pids: _PidsOf, kill_file: Path) -> None:
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while (left := pids() - {0}) and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            kill_file.write_text("1")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        time.sleep(KILL_POLL_S)


def _remove_tree(folder: Path) -> bool:
    gone = True
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            gone = False
    return gone


def _counter(file: Path, key: str) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(value) for name, _, value in (line.partition(" ") for line in lines) if name == key), 0)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
