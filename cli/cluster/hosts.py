"""The power of hosts: start, stop, cut. A host is a supervisor in its own namespace and cgroup.

Every call is safe to repeat and works from whatever state a crash left: what runs is read from the kernel
(cgroups, namespaces, mounts), never from memory.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from chaos import cgroups
from cli.cluster import fabric, hostcgroup, hostspec
from cli.cluster.layout import Host, Layout
from cli.cluster.supervisor import SupervisorState, read_state

STOP_TIMEOUT_S = 20.0
POLL_S = 0.02
GATEWAY = "gateway"
UMOUNT_TIMEOUT_S = 30


def write_configuration(layout: Layout, host: Host) -> None:
    """Component configurations and the supervisor's instructions, from the layout."""
    layout.etc(host.name).mkdir(parents=True, exist_ok=True, mode=0o700)
    (layout.etc(host.name) / "manifests").mkdir(exist_ok=True)
    for component, configuration in hostspec.components(layout, host).items():
        _write_json(hostspec.config_file(layout, host, component), configuration)
    _write_json(spec_file(layout, host.name), hostspec.host_spec(layout, host))


def write_gateway(layout: Layout) -> None:
    """The gateway runs beside the hosts, in the machine's own namespace."""
    argv = [sys.executable, "-m", "cli.cluster.gateway", "--listen", f"127.0.0.1:{layout.gateway_port}"]
    for url in layout.api_servers:
        argv += ["--backend", url.removeprefix("https://")]
    spec = hostspec.HostSpec(
        GATEWAY,
        [hostspec.Process("gateway", argv)],
        str(layout.logs(GATEWAY)),
        str(layout.run(GATEWAY)),
    )
    layout.etc(GATEWAY).mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_json(spec_file(layout, GATEWAY), spec)


def spec_file(layout: Layout, host: str) -> Path:
    return layout.etc(host) / "host.json"


def power_on(layout: Layout, name: str) -> bool:
    """Starts a host's supervisor; False when it runs already."""
    if is_running(layout, name):
        return False
    power_off(layout, name)  # whatever a crash or a power cut left: processes, mounts, sockets, addresses
    if name != GATEWAY:
        fabric.create(layout)
        fabric.plug(layout, layout.host(name))
    verb = "node" if name.startswith("node-") else "master"
    argv = [sys.executable, "-m", "cli.cluster.runhost", verb, "--config", str(spec_file(layout, name))]
    if name != GATEWAY:
        argv = ["nsenter", f"--net={fabric.NETNS_DIR / layout.netns(name)}", *argv]
    for folder in (layout.logs(name), layout.run(name), layout.data(name)):
        folder.mkdir(parents=True, exist_ok=True)
    cgroup = layout.cgroup(name)
    with (layout.logs(name) / "supervisor.log").open("ab") as output:
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: hostcgroup.enter(cgroup),
            cwd="/",
        )
    return True


def is_running(layout: Layout, name: str) -> bool:
    """Whether the host's supervisor lives (by its state file and its cgroup, so a reused pid does not fool us)."""
    state = state_of(layout, name)
    return state is not None


def state_of(layout: Layout, name: str) -> SupervisorState | None:
    """The supervisor's state, if that supervisor is still alive."""
    state = read_state(layout.run(name))
    if state is None or state.pid not in cgroups.pids(layout.cgroup(name)):
        return None
    return state


def shut_down(layout: Layout, names: Iterable[str]) -> None:
    """Stops supervisors in order and together (they stop their processes), then cuts what is left."""
    names = list(names)
    for name in names:
        state = state_of(layout, name)
        if state is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(state.pid, signal.SIGTERM)
    _wait_until(lambda: not any(is_running(layout, name) for name in names), STOP_TIMEOUT_S)
    for name in names:
        power_off(layout, name)


def power_off(layout: Layout, name: str) -> None:
    """Cuts a host's power: every process and container ends at once, its network and /run are gone."""
    cgroups.kill(layout.cgroup(name))
    unmount_below(layout.host_dir(name))
    shutil.rmtree(layout.run(name), ignore_errors=True)
    if name != GATEWAY:
        fabric.unplug(layout, layout.host(name))


def mounts_below(folder: Path) -> list[str]:
    """Mount points at or below a folder, deepest first."""
    prefix = f"{folder}/"
    points = [
        line.split()[1].encode().decode("unicode_escape") for line in Path("/proc/mounts").read_text().splitlines()
    ]
    return sorted((p for p in points if p.startswith(prefix)), key=len, reverse=True)


def unmount_below(folder: Path) -> None:
    """Lazily unmounts everything below; repeated because mounts may be stacked."""
    for _ in range(3):
        points = mounts_below(folder)
        if not points:
            return
        for start in range(0, len(points), 100):
            subprocess.run(
                ["umount", "-l", *points[start : start + 100]], capture_output=True, timeout=UMOUNT_TIMEOUT_S
            )


def remove_traces(layout: Layout) -> list[str]:
    """After every host is off: network and cgroups; returns what could not be removed."""
    fabric.destroy(layout)
    return hostcgroup.remove(f"/{layout.prefix}")


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _write_json(path: Path, value: object) -> None:
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2))
