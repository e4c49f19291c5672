"""A pod's namespaces and the process that keeps them: a static pause program alone in an empty root.

The pause process sees nothing of the node and holds nothing of the shim's memory, because containers of the pod may
be able to look into it (shared process ids). Only then it has a PID namespace, of which it is the reaper.
"""

import os
import shutil
import socket
from pathlib import Path

from node import cgroups
from node.engine.base import SandboxSpec
from node.engine.embedded import syscalls
from node.engine.imagebuild import BUSYBOX

# By this name busybox takes its applet from the first argument.
PROGRAM = "/busybox"
PAUSE_SCRIPT = "trap 'exit 0' TERM; while :; do /busybox sleep 86400 & wait $!; done"
HOST_RESOLV_CONF = Path("/etc/resolv.conf")
SHM_OPTIONS = "mode=1777,size=64m"


def write_files(spec: SandboxSpec, folder: Path) -> None:
    """What every container of the pod sees in /etc."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hostname").write_text(f"{spec.hostname}\n")
    (folder / "hosts").write_text("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    (folder / "resolv.conf").write_text(resolv_conf(spec))


def resolv_conf(spec: SandboxSpec) -> str:
    """The pod's resolver; without any order, the node's."""
    if not (spec.dns_servers or spec.dns_search or spec.dns_options):
        return HOST_RESOLV_CONF.read_text() if HOST_RESOLV_CONF.exists() else ""
    lines = [f"nameserver {server}" for server in spec.dns_servers]
    lines += [f"search {' '.join(spec.dns_search)}"] if spec.dns_search else []
    lines += [f"options {' '.join(spec.dns_options)}"] if spec.dns_options else []
    return "".join(f"{line}\n" for line in lines)


def mount_shm(folder: Path) -> None:
    """The pod's /dev/shm, on the node because several mount namespaces share it."""
    (folder / "shm").mkdir(exist_ok=True)
    syscalls.mount("shm", str(folder / "shm"), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, SHM_OPTIONS)


def unmount_shm(folder: Path) -> None:
    if os.path.ismount(folder / "shm"):
        syscalls.unmount(str(folder / "shm"))


def keep(spec: SandboxSpec, folder: Path, group: str, report: int) -> int:
    """The keeper's life, in a fork of the shim: becomes the pause process, or its parent.

    Reports nothing (it is the pause itself), the number of the pause process, or why there is none.
    """
    os.setsid()
    groups = cgroups.detect()
    groups.create(group)
    cgroup_files = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in groups.procs_files(group)]
    if not spec.share_pid:
        _become_pause(spec, folder, cgroup_files, report)
        return 1
    syscalls.unshare(syscalls.NEWPID)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become_pause(spec, folder, cgroup_files, writer)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pause_report:
        complaint = pause_report.read()
    # The pause knows itself as 1 only.
    os.write(report, complaint or b"%d" % pid)
    os.close(report)
    os.waitpid(pid, 0)
    return 0


def _become_pause(spec: SandboxSpec, folder: Path, cgroup_files: list[int], report: int) -> None:
    """Silence on the report pipe means success, as with containers."""
    try:
        _enter_namespaces(spec)
        for fd in cgroup_files:
            os.write(fd, b"0")
        null = os.open("/dev/null", os.O_RDWR)
        syscalls.mount("", "/", "", syscalls.MS_SLAVE | syscalls.MS_REC)
        (folder / "root").mkdir(exist_ok=True)
        syscalls.mount("tmpfs", str(folder / "root"), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=16k")
        binary = syscalls.clone_mount(str(BUSYBOX))
        syscalls.pivot_to(str(folder / "root"))
        os.close(os.open(PROGRAM, os.O_CREAT | os.O_WRONLY, 0o755))
        syscalls.attach_mount(binary, PROGRAM)
        syscalls.remount_read_only("/")
        for number in (0, 1, 2):
            os.dup2(null, number)
        syscalls.forbid_new_privileges()
        syscalls.become(0, 0, [], [])
        os.execve(PROGRAM, [PROGRAM, "sh", "-c", PAUSE_SCRIPT], {})
    except OSError as error:
        os.write(report, f"sandbox: {error}".encode())


def _enter_namespaces(spec: SandboxSpec) -> None:
    flags = syscalls.NEWNS | syscalls.NEWUTS
    flags |= 0 if spec.host_network else syscalls.NEWNET
    flags |= 0 if spec.host_ipc else syscalls.NEWIPC
    syscalls.unshare(flags)
    if spec.hostname:
        socket.sethostname(spec.hostname)
    if not spec.host_network:
        syscalls.bring_up_loopback()
    for name, value in spec.sysctls.items():
        Path("/proc/sys", name.replace(".", "/")).write_text(value)


def remove_folder(folder: Path) -> None:
    unmount_shm(folder)
    shutil.rmtree(folder, ignore_errors=True)
