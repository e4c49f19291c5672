"""Linux calls that Python 3.11 does not wrap: namespaces, mounts, capabilities. Thin, checked, nothing else."""

import array
import ctypes
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Iterable

from node.engine.capabilities import NAMES, bits

NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
NAMESPACE_FLAGS = {"mnt": NEWNS, "uts": NEWUTS, "ipc": NEWIPC, "pid": NEWPID, "net": NEWNET}

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 1024, 2048, 4096, 16384
MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_RELATIME, MS_STRICTATIME = 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 24
# What statvfs reports has the values of the mount flags: a remount must repeat them or it would lift them.
KEPT_ON_REMOUNT = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME
MNT_DETACH = 2

# Calls from 424 on have one number on every architecture.
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_PIDFD_GETFD = 428, 429, 438
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4

PR_SET_NAME, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 15, 24, 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_SET_KEEPCAPS = 8
CAPABILITY_VERSION_3 = 0x20080522
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = [text.encode() or None for text in (source, target, kind)]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def remount_read_only(target: str) -> None:
    """The other flags of that mount stay."""
    kept = os.statvfs(target).f_flag & KEPT_ON_REMOUNT
    mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def unmount(target: str) -> None:
    """Lazily: what is still open keeps working and goes with its last user."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flag: int) -> None:
    _check(_libc.setns(fd, flag), "setns")


def join_namespace(pid: int, name: str) -> None:
    fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, NAMESPACE_FLAGS[name])
    finally:
        os.close(fd)


def pivot_to(root: str) -> None:
    """Makes `root` (a mount point) the root, and lets go of the old one with everything below it."""
    os.chdir(root)
    # pivot_root(".", ".") stacks the old root on the new one, so no folder is needed for it (pivot_root(2)).
    _check(_libc.pivot_root(b".", b"."), f"pivot_root {root}")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def clone_mount(source: str) -> int:
    """A detached copy of the mounts at `source`, as a descriptor that survives a change of root."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    return _check(_libc.syscall(SYS_OPEN_TREE, AT_FDCWD, source.encode(), flags), f"open_tree {source}")


def attach_mount(fd: int, target: str) -> None:
    result = _libc.syscall(SYS_MOVE_MOUNT, fd, b"", AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH)
    _check(result, f"mount {target}")


def take_fd(pidfd: int, number: int) -> int:
    """A copy of another process's descriptor."""
    return _check(_libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0), "pidfd_getfd")


def become_subreaper() -> None:
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """What `ps` shows; at most 15 characters."""
    _check(_libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def forbid_new_privileges() -> None:
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def become(uid: int, gid: int, groups: Iterable[int], capabilities: Iterable[str]) -> None:
    """Drops to the user and to the capabilities; like Docker's, those of a user other than root are bounds only."""
    keep = bits(capabilities)
    for number in range(len(NAMES)):
        if not keep >> number & 1:
            _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # EINVAL: newer than this kernel, so not there to drop
    os.setgroups(list(groups))
    os.setresgid(gid, gid, gid)
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    held = keep if uid == 0 else 0
    low, high = held & 0xFFFFFFFF, held >> 32
    header = struct.pack("<Ii", CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("<6I", low, low, 0, high, high, 0)), "capset")


def bring_up_loopback() -> None:
    """In a fresh network namespace `lo` is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack_from("16sH", request)[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def set_window_size(fd: int, width: int, height: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, array.array("H", [height, width, 0, 0]))


def take_terminal(fd: int) -> None:
    """Makes the terminal this session's own."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
