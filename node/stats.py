"""CPU and memory in use, read from the cgroup files: `/stats/summary`. Works with cgroup v1 and v2."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from master.api.core.pod import Pod
from master.api.timestamps import now_rfc3339
from node.nodeinfo import parse_meminfo
from node.runtime import PodRuntime

CGROUPS = Path("/sys/fs/cgroup")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def summary(node_name: str, pods: Iterable[tuple[Pod, PodRuntime]], now_s: float) -> dict[str, Any]:
    """The shape of upstream's Summary API, as far as the figures are at hand."""
    time = now_rfc3339(now_s)
    return {"node": _node(node_name, time), "pods": [_pod(pod, runtime, time) for pod, runtime in pods]}


def _node(node_name: str, time: str) -> dict[str, Any]:
    memory = parse_meminfo(_read(Path("/proc/meminfo")))
    used = memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)
    words = _read(Path("/proc/stat")).partition("\n")[0].split()[1:]
    busy_ticks = sum(int(word) for word in words[:3]) + sum(int(word) for word in words[5:8])
    return {
        "nodeName": node_name,
        "cpu": {"time": time, "usageCoreNanoSeconds": busy_ticks * 10**9 // CLOCK_TICKS},
        "memory": {"time": time, "availableBytes": memory.get("MemAvailable", 0), "workingSetBytes": used},
    }


def _pod(pod: Pod, runtime: PodRuntime, time: str) -> dict[str, Any]:
    containers = [
        {"name": state.name, "startTime": now_rfc3339(state.started_at), **usage(state.pid, time)}
        for state in runtime.running()
    ]
    meta = pod.metadata
    total: dict[str, Any] = {
        "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "startTime": pod.status.start_time or time,
        "containers": containers,
    }
    cpus = [each["cpu"]["usageCoreNanoSeconds"] for each in containers if "cpu" in each]
    sizes = [each["memory"]["workingSetBytes"] for each in containers if "memory" in each]
    if cpus:
        total["cpu"] = {"time": time, "usageCoreNanoSeconds": sum(cpus)}
    if sizes:
        total["memory"] = {"time": time, "workingSetBytes": sum(sizes)}
    return total


def usage(pid: int, time: str) -> dict[str, Any]:
    """Of the cgroup that the process is in; a process that has just ended has none."""
    places = parse_proc_cgroup(_read(Path(f"/proc/{pid}/cgroup"))) if pid else {}
    figures: dict[str, Any] = {}
    nanos = _cpu_nanos(places)
    if nanos is not None:
        figures["cpu"] = {"time": time, "usageCoreNanoSeconds": nanos}
    working_set = _working_set(places)
    if working_set is not None:
        figures["memory"] = {"time": time, "workingSetBytes": working_set}
    return figures


def parse_proc_cgroup(text: str) -> dict[str, str]:
    """Controller → path; "" for the unified hierarchy."""
    places: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        places.update(dict.fromkeys(controllers.split(","), path))
    return places


def _cpu_nanos(places: dict[str, str]) -> int | None:
    if "cpuacct" in places:
        return _number(CGROUPS / "cpuacct" / places["cpuacct"].lstrip("/") / "cpuacct.usage")
    for line in _read(CGROUPS / places.get("", "/none").lstrip("/") / "cpu.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value) * 1000
    return None


def _working_set(places: dict[str, str]) -> int | None:
    if "memory" in places:
        folder, used_file, idle = (
            CGROUPS / "memory" / places["memory"].lstrip("/"),
            "memory.usage_in_bytes",
            "total_inactive_file",
        )
    else:
        folder, used_file, idle = CGROUPS / places.get("", "/none").lstrip("/"), "memory.current", "inactive_file"
    used = _number(folder / used_file)
    if used is None:
        return None
    for line in _read(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == idle:
            return max(0, used - int(value))
    return used


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
