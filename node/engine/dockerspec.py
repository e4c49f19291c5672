"""Docker's words for our specifications, and ours for Docker's answers. Pure.

Whatever the kubelet must find again after a restart is in labels: Docker is the only memory.
"""

import contextlib
from typing import Any, Literal

from master.api.timestamps import parse_rfc3339
from node.engine import capabilities
from node.engine.base import ContainerSpec, ContainerState, ImageInfo, Mount, SandboxSpec, SandboxState

KIND = "io.timonier.kind"
SANDBOX, CONTAINER = "sandbox", "container"
SANDBOX_ID = "io.timonier.sandbox"
ATTEMPT = "io.timonier.attempt"
HOSTS_FILE = "io.timonier.hosts-file"
CGROUP = "io.timonier.cgroup"
PID_MODE = "io.timonier.pid-mode"
HOST_IPC = "io.timonier.host-ipc"
POD_UID = "io.kubernetes.pod.uid"
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
CONTAINER_NAME = "io.kubernetes.container.name"

# The kubelet's containerLogMaxSize; Docker rotates, so two files are kept.
LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
CPU_PERIOD_US = 100_000
# Docker before 23 knows no newer ones, so those are asked for only by name.
OLD_CAPABILITIES = frozenset(capabilities.NAMES[:38])
NEVER = "0001-01-01T00:00:00Z"
EXITED_WORDS = ("exited", "dead", "removing")

Json = dict[str, Any]


class Machine:
    """What this machine lets a container have."""

    def __init__(self, allowed: frozenset[str], oom_score_adj: int) -> None:
        self.allowed = allowed
        self.complete = allowed >= OLD_CAPABILITIES
        self.oom_floor = -1000 if "SYS_RESOURCE" in allowed else oom_score_adj

    def oom_score_adj(self, wanted: int) -> int:
        return max(wanted, self.oom_floor)


def sandbox_config(spec: SandboxSpec, pause_image: str, machine: Machine) -> Json:
    """The pause container that holds the pod's namespaces."""
    host: Json = {
        "NetworkMode": "host" if spec.host_network else "none",
        "IpcMode": "host" if spec.host_ipc else "shareable",
        "PidMode": "host" if spec.host_pid else "",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "OomScoreAdj": machine.oom_score_adj(-998),
        "Dns": spec.dns_servers,
        "DnsSearch": spec.dns_search,
        "DnsOptions": spec.dns_options,
        "Sysctls": spec.sysctls,
        "LogConfig": {"Type": "none", "Config": {}},
    }
    if spec.cgroup_parent:
        host["CgroupParent"] = spec.cgroup_parent
    if spec.hosts_file:
        host["Mounts"] = [_mount(Mount(source=spec.hosts_file, target="/etc/hosts"))]
    labels = {
        **spec.labels,
        KIND: SANDBOX,
        ATTEMPT: str(spec.attempt),
        POD_UID: spec.pod_uid,
        POD_NAME: spec.name,
        POD_NAMESPACE: spec.namespace,
        HOSTS_FILE: spec.hosts_file,
        CGROUP: spec.cgroup_parent,
        PID_MODE: "host" if spec.host_pid else "pod" if spec.share_pid else "",
        HOST_IPC: "1" if spec.host_ipc else "",
    }
    return {"Image": pause_image, "Hostname": spec.hostname, "Labels": labels, "HostConfig": host}


def sandbox_name(spec: SandboxSpec) -> str:
    return f"k8s_POD_{spec.name}_{spec.namespace}_{spec.pod_uid}_{spec.attempt}"


def container_config(spec: ContainerSpec, sandbox_id: str, sandbox: dict[str, str], machine: Machine) -> Json:
    """A container that joins the sandbox whose labels are `sandbox`."""
    config: Json = {
        "Image": spec.image,
        "Env": spec.env,
        "User": _user(spec),
        "WorkingDir": spec.working_dir,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin_once,
        "Labels": container_labels(spec, sandbox_id, sandbox),
        "HostConfig": _host_config(spec, sandbox_id, sandbox, machine),
    }
    if spec.command is not None:
        config["Entrypoint"] = spec.command
    if spec.args is not None:
        config["Cmd"] = spec.args
    if spec.stop_signal:
        config["StopSignal"] = spec.stop_signal
    return config


def container_labels(spec: ContainerSpec, sandbox_id: str, sandbox: dict[str, str]) -> dict[str, str]:
    return {
        **spec.labels,
        KIND: CONTAINER,
        SANDBOX_ID: sandbox_id,
        ATTEMPT: str(spec.attempt),
        CONTAINER_NAME: spec.name,
        POD_UID: sandbox.get(POD_UID, ""),
        POD_NAME: sandbox.get(POD_NAME, ""),
        POD_NAMESPACE: sandbox.get(POD_NAMESPACE, ""),
    }


def container_name(spec: ContainerSpec, sandbox_id: str, sandbox: dict[str, str]) -> str:
    """Unique by sandbox too: a pod's second sandbox may see the same attempt number again."""
    pod = f"{sandbox.get(POD_NAME, '')}_{sandbox.get(POD_NAMESPACE, '')}_{sandbox.get(POD_UID, '')}"
    return f"k8s_{spec.name}_{pod}_{spec.attempt}_{sandbox_id[:8]}"


def _host_config(spec: ContainerSpec, sandbox_id: str, sandbox: dict[str, str], machine: Machine) -> Json:
    joined = f"container:{sandbox_id}"
    mounts = [_mount(mount) for mount in spec.mounts]
    if sandbox.get(HOSTS_FILE) and all(mount.target != "/etc/hosts" for mount in spec.mounts):
        hosts = Mount(source=sandbox[HOSTS_FILE], target="/etc/hosts", read_only=spec.read_only_root)
        mounts.append(_mount(hosts))
    host: Json = {
        "NetworkMode": joined,
        "IpcMode": "host" if sandbox.get(HOST_IPC) else joined,
        "PidMode": {"host": "host", "pod": joined}.get(sandbox.get(PID_MODE, ""), ""),
        "Mounts": mounts,
        "LogConfig": LOG_CONFIG,
        "ReadonlyRootfs": spec.read_only_root,
        "OomScoreAdj": machine.oom_score_adj(spec.oom_score_adj),
        "GroupAdd": [str(group) for group in spec.supplemental_groups],
        **_limits(spec),
        **_security(spec, machine),
    }
    if sandbox.get(CGROUP):
        host["CgroupParent"] = sandbox[CGROUP]
    return host


def _limits(spec: ContainerSpec) -> Json:
    limits: Json = {}
    if spec.memory_limit_bytes:
        limits |= {"Memory": spec.memory_limit_bytes, "MemorySwap": spec.memory_limit_bytes}
    if spec.cpu_shares:
        limits["CpuShares"] = spec.cpu_shares
    if spec.cpu_quota_us:
        limits |= {"CpuPeriod": CPU_PERIOD_US, "CpuQuota": spec.cpu_quota_us}
    if spec.pids_limit:
        limits["PidsLimit"] = spec.pids_limit
    return limits


def _security(spec: ContainerSpec, machine: Machine) -> Json:
    """Capabilities are spelled out, so that none is asked for that this machine must refuse."""
    options = ["no-new-privileges"] if spec.no_new_privileges else []
    if spec.privileged and machine.complete:
        return {"Privileged": True, "SecurityOpt": options}
    granted = capabilities.effective(spec.cap_add, spec.cap_drop, machine.allowed, privileged=spec.privileged)
    granted &= OLD_CAPABILITIES | capabilities.normal(spec.cap_add)
    security: Json = {"CapDrop": ["ALL"], "CapAdd": sorted(granted), "SecurityOpt": options}
    if spec.privileged:
        options += ["seccomp=unconfined", "apparmor=unconfined"]
        security |= {"MaskedPaths": [], "ReadonlyPaths": [], "DeviceCgroupRules": ["a *:* rwm"]}
    return security


def _user(spec: ContainerSpec) -> str:
    return f"{spec.user or '0'}:{spec.group}" if spec.group else spec.user


def _mount(mount: Mount) -> Json:
    propagation = {"": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}[mount.propagation]
    return {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": propagation},
    }


# Docker's answers.


def sandbox_state(inspected: Json) -> SandboxState:
    state, labels = inspected["State"], inspected["Config"]["Labels"]
    running, pid = bool(state["Running"]), int(state["Pid"])
    host_network = inspected["HostConfig"]["NetworkMode"] == "host"
    return SandboxState(
        id=inspected["Id"],
        pod_uid=labels.get(POD_UID, ""),
        name=labels.get(POD_NAME, ""),
        namespace=labels.get(POD_NAMESPACE, ""),
        attempt=_int(labels.get(ATTEMPT)),
        running=running,
        pid=pid,
        netns=f"/proc/{pid}/ns/net" if running and pid and not host_network else "",
        created_at=_time(inspected["Created"]),
        labels=labels,
    )


def container_state(inspected: Json) -> ContainerState:
    state, labels = inspected["State"], inspected["Config"]["Labels"]
    word = _state_word(state)
    exited = word == "exited"
    reason = _reason(state) if exited else ""
    return ContainerState(
        id=inspected["Id"],
        sandbox_id=labels.get(SANDBOX_ID, ""),
        pod_uid=labels.get(POD_UID, ""),
        name=labels.get(CONTAINER_NAME, ""),
        attempt=_int(labels.get(ATTEMPT)),
        image=inspected["Config"]["Image"],
        image_id=inspected["Image"],
        state=word,
        pid=int(state["Pid"]),
        exit_code=int(state["ExitCode"]) if exited else None,
        oom_killed=reason == "OOMKilled",
        reason=reason,
        message=str(state["Error"]),
        created_at=_time(inspected["Created"]),
        started_at=_time(state["StartedAt"]),
        finished_at=_time(state["FinishedAt"]) or (_time(inspected["Created"]) if exited else 0.0),
        log_path=inspected.get("LogPath", ""),
        labels=labels,
    )


def _state_word(state: Json) -> Literal["created", "running", "exited"]:
    if state["Running"]:
        return "running"
    # Docker leaves a container that could not be started "created"; for us it has failed.
    return "exited" if state["Status"] in EXITED_WORDS or state["Error"] else "created"


def _reason(state: Json) -> str:
    if state["Error"] and _time(state["StartedAt"]) == 0:
        return "StartError"
    # Docker also sets the flag when only a child was killed and the container ended well.
    if state["OOMKilled"] and state["ExitCode"] != 0:
        return "OOMKilled"
    return "Completed" if state["ExitCode"] == 0 else "Error"


def image_info(inspected: Json) -> ImageInfo:
    return ImageInfo(
        id=inspected["Id"],
        tags=inspected.get("RepoTags") or [],
        digests=inspected.get("RepoDigests") or [],
        size_bytes=int(inspected.get("Size", 0)),
        user=(inspected.get("Config") or {}).get("User", ""),
    )


def _time(text: str) -> float:
    if text == NEVER:
        return 0.0
    with contextlib.suppress(ValueError):
        return parse_rfc3339(text)
    return 0.0


def _int(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
