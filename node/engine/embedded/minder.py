"""The parent of one container: a small process between shim and container that stays until the container has ended.

It makes the first process (itself, or through runc), waits for it, and writes run.json and exit.json. Because it is
not the shim, the shim may crash and be replaced while containers run: no exit code and no terminal is lost.
It holds the container's streams open, so that a shim that comes back finds what was written meanwhile. Of an input
that is taken once it lets go when the shim says so, by a signal.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from node import cgroups
from node.engine.embedded import oci, syscalls
from node.engine.embedded.fork import exit_code, identify
from node.engine.embedded.launch import NOT_FOUND, run_program, use_as_streams
from node.engine.embedded.plan import Plan
from node.engine.embedded.records import Exited, Running, save
from node.engine.embedded.rootfs import mount_overlay

TERMINAL_TIMEOUT_S = 20.0
CONSOLE_POLL_S = 0.05
KILLED = 137
END_OF_INPUT = signal.SIGUSR1


class StartFailed(Exception):
    """The first process could not be made; the text says why."""


def mind(
    plan: Plan, streams: Sequence[int], feed: int, report: int, terminal_to: socket.socket | None, runc: str
) -> int:
    """The minder's life. `streams` become the container's standard streams; `report` tells the shim of the start."""
    os.setsid()
    if feed >= 0:
        _let_go_when_told(feed)
    syscalls.set_name("minder")
    groups = cgroups.detect()
    folder = Path(plan.folder)
    try:
        if runc:
            pid, terminal = _start_runc(plan, streams, runc)
        else:
            groups.create(plan.group, plan.limits)
            pid, terminal = _start_program(plan, groups, streams, report)
    except (StartFailed, OSError) as error:
        os.write(report, str(error).encode())
        return 1
    if terminal_to is not None and terminal >= 0:
        socket.send_fds(terminal_to, [b"t"], [terminal])
        terminal_to.close()
    save(folder / "run.json", Running(identify(os.getpid()), identify(pid), time.time(), terminal, feed))
    os.close(report)
    code = _wait_for(pid)
    if plan.share_pid or plan.host_pid:
        groups.kill(plan.group)  # no PID namespace ends with its first process here
    oom_killed = code == KILLED and groups.oom_kills(plan.group) > 0
    save(folder / "exit.json", Exited(code, time.time(), oom_killed))
    return 0


def _let_go_when_told(feed: int) -> None:
    """The number stays taken: a shim that comes back must not find something else under it."""
    nothing = os.open("/dev/null", os.O_WRONLY)
    signal.signal(END_OF_INPUT, lambda *_: os.dup2(nothing, feed, inheritable=False))


def _start_program(plan: Plan, groups: cgroups.Cgroups, streams: Sequence[int], report: int) -> tuple[int, int]:
    cgroup_files = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in groups.procs_files(plan.group)]
    if plan.share_pid:
        syscalls.join_namespace(plan.sandbox_pid, "pid")
    elif not plan.host_pid:
        syscalls.unshare(syscalls.NEWPID)
    ours, theirs = socket.socketpair() if plan.tty else (None, None)
    pid = os.fork()
    if pid == 0:
        code = NOT_FOUND
        try:
            use_as_streams(streams)
            code = run_program(plan, cgroup_files, theirs, report)
        finally:
            os._exit(code)
    for fd in cgroup_files:
        os.close(fd)
    terminal = -1
    if ours is not None and theirs is not None:
        theirs.close()
        terminal = receive_fd(ours)
    return pid, terminal


def _start_runc(plan: Plan, streams: Sequence[int], runc: str) -> tuple[int, int]:
    """runc starts the program and leaves; the orphan becomes ours."""
    syscalls.become_subreaper()
    folder = Path(plan.folder)
    (folder / "config.json").write_bytes(msgspec.json.encode(oci.configuration(plan)))
    argv = [runc, "--root", str(folder / "runc"), "--log", str(folder / "runc.log"), "--log-format", "json", "run"]
    argv += ["--detach", "--bundle", str(folder), "--pid-file", str(folder / "pid")]
    console = _listen(folder / "console") if plan.tty else None
    if console is not None:
        argv += ["--console-socket", "console"]  # runc works in the bundle, and a socket's path must be short
    process = os.fork()
    if process == 0:
        _become_runc(plan, [*argv, plan.id], streams)
    terminal, status = _await_runc(process, console)
    if exit_code(status) != 0:
        raise StartFailed(_runc_error(folder / "runc.log"))
    return int((folder / "pid").read_text()), terminal


def _await_runc(process: int, console: socket.socket | None) -> tuple[int, int]:
    """Terminal and exit status; takes the terminal when runc offers one, which a runc that fails never does."""
    terminal = -1
    while console is not None:
        if select.select([console], [], [], CONSOLE_POLL_S)[0]:
            connection, _ = console.accept()
            terminal = receive_fd(connection)
            console.close()
            break
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return terminal, status
    return terminal, os.waitpid(process, 0)[1]


def _become_runc(plan: Plan, argv: list[str], streams: Sequence[int]) -> None:
    """In a mount namespace of its own, so that the overlay is nobody else's and goes with the container."""
    try:
        syscalls.unshare(syscalls.NEWNS)
        syscalls.mount("", "/", "", syscalls.MS_SLAVE | syscalls.MS_REC)
        mount_overlay(plan)
        use_as_streams(streams)
        os.execv(argv[0], argv)
    finally:
        os._exit(NOT_FOUND)


def _runc_error(log: Path) -> str:
    """The last error that runc logged, as it says it."""
    message = "runc failed"
    for line in log.read_bytes().splitlines() if log.exists() else []:
        try:
            entry = msgspec.json.decode(line, type=dict[str, str])
        except msgspec.DecodeError:
            continue
        message = entry["msg"] if entry.get("level") == "error" else message
    return message


def _listen(path: Path) -> socket.socket:
    """Relative, because a socket's path must be short."""
    os.chdir(path.parent)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path.name)
    listener.listen(1)
    return listener


def receive_fd(connection: socket.socket) -> int:
    """The descriptor the other side sends; -1 when it closes without."""
    with connection:
        connection.settimeout(TERMINAL_TIMEOUT_S)
        _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    return descriptors[0] if descriptors else -1


def _wait_for(pid: int) -> int:
    """Also reaps what else became ours (runc's helpers)."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return exit_code(status)
