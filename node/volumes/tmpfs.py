"""Folders that live in memory: for secrets, which must not reach a disk, and for `emptyDir` with medium Memory."""

import ctypes
import os
from pathlib import Path

MNT_DETACH = 2
MS_NOSUID, MS_NODEV = 2, 4

_libc = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(folder: Path, *, size_bytes: int = 0, mode: int = 0o755) -> None:
    """A no-op when the folder is a mount already (a restarted kubelet finds its mounts in place)."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(folder):
        return
    options = f"mode={mode:o}" + (f",size={size_bytes}" if size_bytes else "")
    result = _libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode())
    if result != 0:
        raise OSError(ctypes.get_errno(), f"mount of tmpfs on {folder}")


def unmount(folder: Path) -> None:
    """Lazily: a process that still looks inside must not keep the pod from ending."""
    if os.path.ismount(folder) and _libc.umount2(os.fsencode(folder), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), f"unmount of {folder}")
