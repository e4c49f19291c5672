"""One more process in a running container: `exec`. Made by fork of the shim, as the container's own are.

    shim ── joiner (enters the container's namespaces, waits) ── program

The joiner is needed because a process that changes its PID namespace only changes that of its children.
"""

import os
import socket

import msgspec

from node import cgroups
from node.engine.embedded import syscalls
from node.engine.embedded.fork import exit_code
from node.engine.embedded.launch import (
    NOT_FOUND,
    change_to,
    execute,
    join_cgroups,
    open_terminal,
    step_down,
    use_as_streams,
)
from node.engine.embedded.plan import Plan

NAMESPACES = ("pid", "net", "ipc", "uts", "mnt")


class Execution(msgspec.Struct, frozen=True):
    """What to run where: `plan` is the container's, `pid` its first process."""

    plan: Plan
    pid: int
    command: list[str]
    tty: bool


def join_and_run(execution: Execution, streams: list[int], terminal_to: socket.socket | None, report: int) -> int:
    """The joiner's life; its exit code is the program's."""
    os.setsid()
    paths = [path for path in cgroups.detect().procs_files(execution.plan.group) if path.exists()]
    cgroup_files = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in paths]
    try:
        _join(execution.pid)
    except OSError as error:
        os.write(report, f"the container is going away: {error}".encode())
        return NOT_FOUND
    pid = os.fork()
    if pid == 0:
        code = NOT_FOUND
        try:
            code = _run(execution, cgroup_files, streams, terminal_to, report)
        finally:
            os._exit(code)
    held = [*streams, *cgroup_files, report, *([terminal_to.fileno()] if terminal_to else []), 0, 1, 2]
    for fd in held:  # or the program's streams would not end with it
        os.close(fd)
    return exit_code(os.waitpid(pid, 0)[1])


def _join(pid: int) -> None:
    """All are opened before any is entered: afterwards /proc is the container's."""
    descriptors = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in NAMESPACES}
    for name, fd in descriptors.items():
        syscalls.setns(fd, syscalls.NAMESPACE_FLAGS[name])
        os.close(fd)


def _run(
    execution: Execution, cgroup_files: list[int], streams: list[int], terminal_to: socket.socket | None, report: int
) -> int:
    plan = execution.plan
    try:
        os.setsid()
        os.umask(0o022)
        if terminal_to is not None:
            open_terminal(terminal_to, plan.identity.uid)
        else:
            use_as_streams(streams)
        join_cgroups(cgroup_files)
        change_to(plan.working_dir, make=False)
        step_down(plan.identity, plan.capabilities, no_new_privileges=plan.no_new_privileges)
        execute(execution.command, [*plan.env, "TERM=xterm"] if execution.tty else plan.env)
    except OSError as error:
        os.write(report, str(error.strerror or error).encode())
    return NOT_FOUND
