"""Everything a container's first process needs to know, worked out before any process exists. Pure.

Both launchers carry out the same plan: our own (`launch.py`) step by step, runc as an OCI configuration (`oci.py`).
"""

import msgspec

from node import cgroups
from node.engine import capabilities
from node.engine.base import ContainerSpec, Mount, SandboxSpec
from node.engine.embedded import users
from node.engine.embedded.images import RuntimeConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_STOP_SIGNAL = "SIGTERM"
# As Docker and containerd hide them: kernel memory, keys, timers, firmware.
MASKED_PATHS = [
    *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"),
]
READ_ONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
SANDBOX_FILES = {"hosts": "/etc/hosts", "resolv.conf": "/etc/resolv.conf", "hostname": "/etc/hostname"}


class NoCommand(ValueError):
    """Neither the order nor the image says what to run."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` is the container's on the node; `layers` are folder names below `layers_dir`, the lowest first."""

    id: str
    folder: str
    layers_dir: str
    layers: list[str]
    argv: list[str]
    env: list[str]
    working_dir: str
    identity: users.Identity
    capabilities: list[str]
    no_new_privileges: bool
    privileged: bool
    read_only_root: bool
    tty: bool
    stdin: bool
    stdin_once: bool = False
    """The input may come to its end: never true of a terminal's."""
    mounts: list[Mount]
    masked_paths: list[str]
    read_only_paths: list[str]
    sandbox_pid: int
    share_pid: bool
    host_pid: bool
    hostname: str
    group: str
    limits: cgroups.Limits
    oom_score_adj: int


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan depends on besides the order."""

    id: str
    folder: str
    layers_dir: str
    layers: list[str]
    image: RuntimeConfig
    passwd: str
    groups: str
    sandbox: SandboxSpec
    sandbox_pid: int
    sandbox_folder: str
    group: str
    allowed: frozenset[str]
    oom_floor: int
    has_device_guard: bool
    """Whether a devices cgroup keeps the container from opening device nodes it makes."""


def make_plan(spec: ContainerSpec, around: Surroundings) -> Plan:
    """Raises UnknownUser, UnknownCapability, NoCommand."""
    who = users.resolve(
        spec.user, spec.group, spec.supplemental_groups, around.image.user or "", around.passwd, around.groups
    )
    granted = capabilities.effective(spec.cap_add, spec.cap_drop, around.allowed, privileged=spec.privileged)
    if not (spec.privileged or around.has_device_guard):
        granted -= {"MKNOD"}
    return Plan(
        id=around.id,
        folder=around.folder,
        layers_dir=around.layers_dir,
        layers=around.layers,
        argv=command_of(spec, around.image),
        env=environment_of(spec, around.image, who.home, around.sandbox.hostname),
        working_dir=spec.working_dir or around.image.working_dir or "/",
        identity=who,
        capabilities=sorted(granted),
        no_new_privileges=spec.no_new_privileges,
        privileged=spec.privileged,
        read_only_root=spec.read_only_root,
        tty=spec.tty,
        stdin=spec.stdin,
        stdin_once=spec.stdin and spec.stdin_once and not spec.tty,
        mounts=mounts_of(spec, around),
        masked_paths=[] if spec.privileged else MASKED_PATHS,
        read_only_paths=[] if spec.privileged else READ_ONLY_PATHS,
        sandbox_pid=around.sandbox_pid,
        share_pid=around.sandbox.share_pid,
        host_pid=around.sandbox.host_pid,
        hostname=around.sandbox.hostname,
        group=around.group,
        limits=limits_of(spec),
        oom_score_adj=max(spec.oom_score_adj, around.oom_floor),
    )


def command_of(spec: ContainerSpec, image: RuntimeConfig) -> list[str]:
    """Kubernetes' rule: a command replaces entrypoint and arguments of the image, args alone only the latter."""
    if spec.command is not None:
        argv = [*spec.command, *(spec.args or [])]
    else:
        argv = [*(image.entrypoint or []), *(spec.args if spec.args is not None else image.cmd or [])]
    if not argv:
        raise NoCommand("no command specified")
    return argv


def environment_of(spec: ContainerSpec, image: RuntimeConfig, home: str, hostname: str) -> list[str]:
    """The image's variables under the order's, and what every program expects to find."""
    values: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname, "HOME": home}
    if spec.tty:
        values["TERM"] = "xterm"
    for pair in [*(image.env or []), *spec.env]:
        name, _, value = pair.partition("=")
        values[name] = value
    return [f"{name}={value}" for name, value in values.items()]


def mounts_of(spec: ContainerSpec, around: Surroundings) -> list[Mount]:
    """The pod's own files under the order's mounts, outer targets before inner ones."""
    taken = {mount.target.rstrip("/") for mount in spec.mounts}
    given = {"hosts": around.sandbox.hosts_file} if around.sandbox.hosts_file else {}
    files = [
        Mount(source=given.get(name, f"{around.sandbox_folder}/{name}"), target=target, read_only=spec.read_only_root)
        for name, target in SANDBOX_FILES.items()
        if target not in taken
    ]
    shm = [] if "/dev/shm" in taken else [Mount(source=_shm(around), target="/dev/shm")]
    ordered = sorted(spec.mounts, key=lambda mount: len([part for part in mount.target.split("/") if part]))
    return [*shm, *files, *ordered]


def _shm(around: Surroundings) -> str:
    """Shared by the containers of a pod, like all of its IPC."""
    return "/dev/shm" if around.sandbox.host_ipc else f"{around.sandbox_folder}/shm"


def limits_of(spec: ContainerSpec) -> cgroups.Limits:
    return cgroups.Limits(
        cpu_shares=spec.cpu_shares,
        cpu_quota_us=spec.cpu_quota_us,
        memory_bytes=spec.memory_limit_bytes,
        pids=spec.pids_limit,
        all_devices=spec.privileged,
    )
