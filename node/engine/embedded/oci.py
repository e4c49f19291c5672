"""The same plan in the words of the OCI runtime specification, for runc. Pure."""

from typing import Any

from node.cgroups import CPU_PERIOD_US
from node.engine.base import Mount
from node.engine.embedded.plan import Plan

OCI_VERSION = "1.0.2"
DEFAULT_DEVICE_RULES = [{"allow": False, "access": "rwm"}]
ALL_DEVICES = [{"allow": True, "access": "rwm"}]

Json = dict[str, Any]


def configuration(plan: Plan) -> Json:
    """config.json of the bundle; the root is where `mount_overlay` puts it."""
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(plan),
        "root": {"path": f"{plan.folder}/rootfs", "readonly": plan.read_only_root},
        "mounts": [*_kernel_mounts(plan), *(_bind(mount) for mount in plan.mounts)],
        "linux": {
            "namespaces": _namespaces(plan),
            "cgroupsPath": plan.group,
            "resources": _resources(plan),
            "maskedPaths": plan.masked_paths,
            "readonlyPaths": plan.read_only_paths,
            "rootfsPropagation": "slave",
        },
    }


def _process(plan: Plan) -> Json:
    who = plan.identity
    held = [f"CAP_{name}" for name in plan.capabilities]
    return {
        "terminal": plan.tty,
        "user": {"uid": who.uid, "gid": who.gid, "additionalGids": who.groups},
        "args": plan.argv,
        "env": plan.env,
        "cwd": plan.working_dir,
        "capabilities": {
            "bounding": held,
            "effective": held if who.uid == 0 else [],
            "permitted": held if who.uid == 0 else [],
        },
        "noNewPrivileges": plan.no_new_privileges,
        "oomScoreAdj": plan.oom_score_adj,
    }


def _namespaces(plan: Plan) -> list[Json]:
    own = f"/proc/{plan.sandbox_pid}/ns"
    shared = [{"type": kind, "path": f"{own}/{name}"} for kind, name in _SHARED.items()]
    if plan.host_pid:
        return [{"type": "mount"}, *shared]
    return [{"type": "mount"}, {"type": "pid", "path": f"{own}/pid"} if plan.share_pid else {"type": "pid"}, *shared]


_SHARED = {"network": "net", "ipc": "ipc", "uts": "uts"}


def _kernel_mounts(plan: Plan) -> list[Json]:
    safe = ["nosuid", "noexec", "nodev"]
    sysfs = [*safe, "rw" if plan.privileged else "ro"]
    devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    devices = (
        {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind", "rslave"]}
        if plan.privileged
        else _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"])
    )
    return [
        _mount("/proc", "proc", safe),
        devices,
        _mount("/dev/pts", "devpts", devpts),
        _mount("/dev/mqueue", "mqueue", safe),
        _mount("/sys", "sysfs", sysfs),
    ]


def _mount(target: str, kind: str, options: list[str]) -> Json:
    return {"destination": target, "type": kind, "source": kind, "options": options}


def _bind(mount: Mount) -> Json:
    propagation = {"": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}[mount.propagation]
    options = ["rbind", propagation, "ro" if mount.read_only else "rw"]
    return {"destination": mount.target, "type": "bind", "source": mount.source, "options": options}


def _resources(plan: Plan) -> Json:
    limits = plan.limits
    resources: Json = {"devices": ALL_DEVICES if limits.all_devices else DEFAULT_DEVICE_RULES}
    cpu: Json = {}
    if limits.cpu_shares:
        cpu["shares"] = limits.cpu_shares
    if limits.cpu_quota_us:
        cpu |= {"quota": limits.cpu_quota_us, "period": CPU_PERIOD_US}
    if cpu:
        resources["cpu"] = cpu
    if limits.memory_bytes:
        resources["memory"] = {"limit": limits.memory_bytes, "swap": limits.memory_bytes}
    if limits.pids:
        resources["pids"] = {"limit": limits.pids}
    return resources
