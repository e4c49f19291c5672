"""The two kernel facts that iptables writers share: the machine-wide lock, and a cheap look at a table's size.

libiptc takes no lock, and the kernel only compares entry counts at a commit, so every read-change-commit stands inside
the same lock file that the iptables command uses.
"""

import ctypes
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_PATH = Path("/run/xtables.lock")
LOCK_WAIT_S = 10.0  # a stuck holder must not stop us for ever; the next sync tries again
LOCK_RETRY_S = 0.01
_IPT_SO_GET_INFO = 64
_INFO_BYTES = 84  # struct ipt_getinfo: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size
_NAME_BYTES = 32

_libc = ctypes.CDLL(None, use_errno=True)


class LockTimeout(Exception):
    """Another program held the xtables lock for too long."""


@contextmanager
def xtables_lock(path: Path = LOCK_PATH, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the lock of iptables; polls, because a blocking flock cannot be bounded. For worker threads only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_s
        while not _try_lock(fd):
            if time.monotonic() >= deadline:
                raise LockTimeout(f"{path} was held for {wait_s} s")
            time.sleep(LOCK_RETRY_S)
        yield
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def table_signature(table: str) -> bytes:
    """Size, entry count and hook offsets of a legacy table: one system call; differs after nearly any foreign change.

    Empty when the kernel has no such table."""
    buffer = ctypes.create_string_buffer(table.encode(), _INFO_BYTES)
    length = ctypes.c_uint(_INFO_BYTES)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        failed = _libc.getsockopt(probe.fileno(), socket.IPPROTO_IP, _IPT_SO_GET_INFO, buffer, ctypes.byref(length))
    if failed:
        code = ctypes.get_errno()
        if code in (errno.ENOENT, errno.ENOPROTOOPT):
            return b""
        raise OSError(code, os.strerror(code))
    return buffer.raw[_NAME_BYTES:]
