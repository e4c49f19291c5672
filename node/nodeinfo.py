"""Facts about this machine, out of /proc and /etc: what a node has and what it is. `parse_*` are pure."""

import os
import platform
import shutil
from pathlib import Path

import msgspec

from master.api.core.node import NodeSystemInfo
from master.api.model import Quantity

KUBELET_VERSION = "v1.36.0+timonier"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}
SYSTEM_RESERVED_BYTES = 100 * 1024 * 1024
"""Held back from allocatable memory (the kubelet's hard eviction threshold)."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while the kubelet runs."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    info: NodeSystemInfo


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """What does change: whether something runs short."""

    memory_available_bytes: int
    disk_available_bytes: int
    disk_bytes: int
    pids: int
    pids_max: int

    @property
    def memory(self) -> bool:
        return self.memory_available_bytes < SYSTEM_RESERVED_BYTES

    @property
    def disk(self) -> bool:
        """Less than a tenth free, and less than a gigabyte: a tenth of a large disk is plenty."""
        return self.disk_available_bytes < min(self.disk_bytes // 10, 1024**3)

    @property
    def pid(self) -> bool:
        return self.pids > self.pids_max * 9 // 10


def read_machine(root_dir: str) -> Machine:
    memory = parse_meminfo(_read("/proc/meminfo"))
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=memory.get("MemTotal", 0),
        disk_bytes=shutil.disk_usage(root_dir).total,
        info=NodeSystemInfo(
            machine_id=_read("/etc/machine-id") or _read("/proc/sys/kernel/random/boot_id").replace("-", ""),
            system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
            boot_id=_read("/proc/sys/kernel/random/boot_id"),
            kernel_version=platform.release(),
            os_image=parse_os_release(_read("/etc/os-release")),
            operating_system="linux",
            architecture=architecture(),
            kubelet_version=KUBELET_VERSION,
            kube_proxy_version=KUBELET_VERSION,
        ),
    )


def read_pressure(root_dir: str) -> Pressure:
    memory = parse_meminfo(_read("/proc/meminfo"))
    disk = shutil.disk_usage(root_dir)
    return Pressure(
        memory_available_bytes=memory.get("MemAvailable", 0),
        disk_available_bytes=disk.free,
        disk_bytes=disk.total,
        pids=parse_process_count(_read("/proc/loadavg")),
        pids_max=int(_read("/proc/sys/kernel/pid_max") or 32768),
    )


def architecture() -> str:
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def capacity(machine: Machine, max_pods: int) -> dict[str, Quantity]:
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "pods": str(max_pods),
    }


def allocatable(machine: Machine, max_pods: int) -> dict[str, Quantity]:
    """Capacity without what the system itself needs."""
    memory = max(0, machine.memory_bytes - SYSTEM_RESERVED_BYTES)
    usable_disk = machine.disk_bytes * 9 // 10
    return {
        **capacity(machine, max_pods),
        "memory": f"{memory // 1024}Ki",
        "ephemeral-storage": str(usable_disk),
    }


def parse_meminfo(text: str) -> dict[str, int]:
    """Name → bytes."""
    figures: dict[str, int] = {}
    for line in text.splitlines():
        match line.replace(":", " ").split():
            case [name, amount, "kB"]:
                figures[name] = int(amount) * 1024
    return figures


def parse_os_release(text: str) -> str:
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return "Linux"


def parse_process_count(loadavg: str) -> int:
    """The fourth word of /proc/loadavg is `running/existing`."""
    words = loadavg.split()
    return int(words[3].partition("/")[2]) if len(words) > 3 else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
