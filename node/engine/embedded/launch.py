"""A container's first process: from a fork of the shim to the program, in namespaces, cgroup and root of its own.

Runs between fork and exec. Whatever fails is written to the report pipe, which closes by itself when the program
starts (it is close-on-exec): silence means success.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from node.engine.embedded import syscalls
from node.engine.embedded.plan import Plan
from node.engine.embedded.rootfs import enter_root
from node.engine.embedded.users import Identity

NOT_FOUND, NOT_EXECUTABLE = 127, 126
SHARED_NAMESPACES = ("net", "ipc", "uts")


def join_sandbox(plan: Plan) -> None:
    """Namespaces that a process joins itself; that of process ids is joined by its parent."""
    for name in SHARED_NAMESPACES:
        syscalls.join_namespace(plan.sandbox_pid, name)


def run_program(plan: Plan, cgroup_files: Sequence[int], terminal_to: socket.socket | None, report: int) -> int:
    """Returns only on failure."""
    try:
        os.setsid()
        join_sandbox(plan)
        syscalls.unshare(syscalls.NEWNS)
        enter_root(plan)
        if terminal_to is not None:
            open_terminal(terminal_to, plan.identity.uid)
        join_cgroups(cgroup_files)
        Path("/proc/self/oom_score_adj").write_text(str(plan.oom_score_adj))
        change_to(plan.working_dir, make=True)
        step_down(plan.identity, plan.capabilities, no_new_privileges=plan.no_new_privileges)
        execute(plan.argv, plan.env)
    except OSError as error:
        os.write(report, _words(error).encode())
    return NOT_FOUND


def join_cgroups(files: Sequence[int]) -> None:
    """As late as possible: what a Python process needs must not count against a small memory limit."""
    for fd in files:
        os.write(fd, b"0")
        os.close(fd)


def open_terminal(send_to: socket.socket, uid: int) -> None:
    """A pseudo-terminal of the container's own kind, its master handed over, its slave as standard streams."""
    master, slave = os.openpty()
    socket.send_fds(send_to, [b"t"], [master])
    os.close(master)
    os.fchown(slave, uid, -1)
    use_as_streams([slave] * 3)
    syscalls.take_terminal(0)


def use_as_streams(descriptors: Sequence[int]) -> None:
    """Standard input, output and error. The originals are close-on-exec, like all of Python's."""
    for number, fd in enumerate(descriptors):
        os.dup2(fd, number)


def change_to(folder: str, *, make: bool) -> None:
    if make:
        with contextlib.suppress(FileExistsError):
            os.makedirs(folder, 0o755, exist_ok=True)
    os.chdir(folder)


def step_down(identity: Identity, capabilities: Sequence[str], *, no_new_privileges: bool) -> None:
    """The end of our power over this process."""
    if no_new_privileges:
        syscalls.forbid_new_privileges()
    syscalls.become(identity.uid, identity.gid, identity.groups, capabilities)


def execute(argv: Sequence[str], env: Sequence[str]) -> None:
    """Becomes the program, looked for in the PATH the container itself has. Raises OSError."""
    values = dict(pair.partition("=")[::2] for pair in env)
    error: OSError | None = None
    for path in candidates(argv[0], values.get("PATH", "")):
        try:
            os.execve(path, list(argv), values)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as refusal:
            error = refusal
    if error is not None:
        raise OSError(error.errno, f"exec {argv[0]}: permission denied")
    raise FileNotFoundError(errno.ENOENT, f"exec {argv[0]}: no such file or directory, or not in PATH")


def candidates(program: str, path: str) -> list[str]:
    """A name with a slash is taken as it is."""
    return [program] if "/" in program else [f"{folder or '.'}/{program}" for folder in path.split(":")]


def _words(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
