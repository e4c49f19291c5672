"""Making child processes by fork, from the shim's single thread only.

A fork of the shim shares its sockets, timers and signal pipe, and must touch none of them: a child closes every
descriptor it was not given, forgets the signal handlers, and never returns into the event loop.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

FAILED = 127
SIGNAL_BASE = 128
ZOMBIE_STATES = ("", "Z", "X")
MAX_REPORT_BYTES = 64 * 1024


class Process(msgspec.Struct, frozen=True):
    """A process by more than its number, which the kernel gives out again: start time in ticks, and the boot."""

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        return self.exists() and _stat(self.pid)[0] not in ZOMBIE_STATES

    def exists(self) -> bool:
        """Alive, or dead and not yet waited for."""
        return self.boot_id == boot_id() and _stat(self.pid)[1] == self.start_ticks


def identify(pid: int) -> Process:
    """For a process that is certainly there: our own child, not yet waited for."""
    return Process(pid, _stat(pid)[1], boot_id())


def _stat(pid: int) -> tuple[str, int]:
    """State and start time in ticks (fields 3 and 22 of /proc/<pid>/stat) of a process, or ("", -1)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return "", -1
    return fields[0].decode(), int(fields[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def fork(run: Callable[[], int], keep: Collection[int] = ()) -> int:
    """Runs `run` in a child that holds only standard error and `keep`; its result is the exit code."""
    assert threading.active_count() == 1, "a fork of a threaded process may deadlock"
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        _forget_parent(keep)
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _forget_parent(keep: Collection[int]) -> None:
    signal.set_wakeup_fd(-1)
    # Python ignores the last two, and what is ignored stays so in the program that is started.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    kept = {0, 1, 2, *keep}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def exit_code(status: int) -> int:
    """As shells and Kubernetes count: 128 + signal for a death by signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNAL_BASE - code


async def wait_exit(pid: int) -> int | None:
    """Waits for a process without a thread. The exit code, or None when it is not (any more) our child."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return _reap(pid)
    try:
        loop.add_reader(pidfd, _finish, ended)
        await ended
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return _reap(pid)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _reap(pid: int) -> int | None:
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return exit_code(status) if found else None


async def read_report(fd: int) -> bytes:
    """Everything written to the pipe until its last writer closes it (or becomes another program)."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    done: asyncio.Future[None] = loop.create_future()
    parts: list[bytes] = []

    def ready() -> None:
        data = os.read(fd, 4096)
        if data and sum(map(len, parts)) < MAX_REPORT_BYTES:
            parts.append(data)
        elif not data:
            _finish(done)

    loop.add_reader(fd, ready)
    try:
        await done
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return b"".join(parts)


async def run_in_child(work: Callable[[], bytes], keep: Collection[int] = ()) -> tuple[int, bytes]:
    """Long work beside the event loop. Exit code and what `work` returned (or the text of its error)."""
    reader, writer = os.pipe()

    def child() -> int:
        try:
            report, code = work(), 0
        except Exception as error:  # told to the parent, which raises it as its own
            report, code = f"{type(error).__name__}: {error}".encode(), 1
        os.write(writer, report[: MAX_REPORT_BYTES // 2])
        return code

    pid = fork(child, {writer, *keep})
    os.close(writer)
    report = await read_report(reader)
    return await wait_exit(pid) or 0, report
