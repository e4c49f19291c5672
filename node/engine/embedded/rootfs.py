"""Builds a container's view of the file system, from inside its new mount namespace.

The order matters. Overlay first; then the sources of bind mounts are picked up as detached mounts while the node's
files can still be named; then the root changes, and everything else is mounted by names that can only mean places
inside the container, whatever links its image contains.
"""

import contextlib
import os
import stat
from pathlib import Path

from node.engine.base import Mount
from node.engine.embedded import syscalls
from node.engine.embedded.plan import Plan
from node.engine.embedded.syscalls import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_STRICTATIME,
)

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
}
TTY_GROUP = 5
SAFE = MS_NOSUID | MS_NOEXEC | MS_NODEV


def overlay_options(folder: str, layers: list[str]) -> str:
    """Layer names are relative to the layers' folder: the text must fit in a page."""
    lower = ":".join(reversed(layers))
    return f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"


def mount_overlay(plan: Plan) -> str:
    """In this mount namespace only. Returns the place."""
    root = f"{plan.folder}/rootfs"
    for name in ("upper", "work", "rootfs"):
        Path(plan.folder, name).mkdir(mode=0o755, exist_ok=True)
    os.chdir(plan.layers_dir)
    # Device nodes that an image brings (or its container makes) open nothing.
    syscalls.mount(
        "overlay", root, "overlay", 0 if plan.privileged else MS_NODEV, overlay_options(plan.folder, plan.layers)
    )
    return root


def enter_root(plan: Plan) -> None:
    """Ends with this process inside the finished root."""
    syscalls.mount("", "/", "", MS_SLAVE | MS_REC)
    root = mount_overlay(plan)
    sources = [(mount, syscalls.clone_mount(mount.source)) for mount in plan.mounts]
    node_devices = syscalls.clone_mount("/dev") if plan.privileged else -1
    syscalls.pivot_to(root)
    os.umask(0)
    _mount_kernel_filesystems(plan)
    _mount_devices(node_devices)
    for mount, source in sources:
        _attach(mount, source)
    for path in plan.masked_paths:
        _mask(path)
    for path in plan.read_only_paths:
        _protect(path)
    if plan.read_only_root:
        syscalls.remount_read_only("/")
    os.umask(0o022)


def _mount_kernel_filesystems(plan: Plan) -> None:
    for name in ("proc", "sys", "dev"):
        os.makedirs(f"/{name}", 0o755, exist_ok=True)
    syscalls.mount("proc", "/proc", "proc", SAFE)
    syscalls.mount("sysfs", "/sys", "sysfs", SAFE | (0 if plan.privileged else MS_RDONLY))


def _mount_devices(node_devices: int) -> None:
    """The few devices every program expects; all of the node's for a privileged container."""
    if node_devices >= 0:
        syscalls.attach_mount(node_devices, "/dev")
    else:
        syscalls.mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=64k")
        for name, (major, minor) in DEVICES.items():
            os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        for name, target in DEVICE_LINKS.items():
            os.symlink(target, f"/dev/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.makedirs(f"/dev/{name}", 0o755, exist_ok=True)
    options = f"newinstance,ptmxmode=0666,mode=0620,gid={TTY_GROUP}"
    syscalls.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    with contextlib.suppress(OSError):  # a kernel without POSIX message queues
        syscalls.mount("mqueue", "/dev/mqueue", "mqueue", SAFE)


def _attach(mount: Mount, source: int) -> None:
    """Where the target is missing it is made: a folder for a folder, an empty file for anything else."""
    if not os.path.exists(mount.target):
        if stat.S_ISDIR(os.fstat(source).st_mode):
            os.makedirs(mount.target, 0o755, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(mount.target), 0o755, exist_ok=True)
            os.close(os.open(mount.target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    syscalls.attach_mount(source, mount.target)
    os.close(source)
    if mount.read_only:
        syscalls.remount_read_only(mount.target)
    propagation = {"": syscalls.MS_PRIVATE, "HostToContainer": MS_SLAVE, "Bidirectional": MS_SHARED}[mount.propagation]
    syscalls.mount("", mount.target, "", propagation | MS_REC)


def _mask(path: str) -> None:
    """Nothing to be seen there: an empty folder, or a file that is always empty."""
    if os.path.isdir(path):
        syscalls.mount("tmpfs", path, "tmpfs", MS_RDONLY | SAFE, "size=0")
    elif os.path.exists(path):
        syscalls.mount("/dev/null", path, "", syscalls.MS_BIND)


def _protect(path: str) -> None:
    if os.path.exists(path):
        syscalls.mount(path, path, "", syscalls.MS_BIND | MS_REC)
        syscalls.remount_read_only(path)
