"""Faults of single processes, chosen by the role they play on a host."""

import contextlib
import os
import signal
from pathlib import Path

from chaos import cgroups
from chaos.fabric import Fabric, find_host

PROC = Path("/proc")
ROLES = {
    "raftstore": ("-m", "raftstore"),
    "apiserver": ("-m", "master.apiserver"),
    "scheduler": ("-m", "master.scheduler"),
    "controllers": ("-m", "master.controllers"),
    "kubelet": ("-m", "node"),
    "proxy": ("-m", "proxy"),
    "dockerd": ("dockerd",),
    "shim": ("-m", "node.engine.embedded"),
}
"""Role → the words in a row that its command line has."""


class NoSuchProcess(Exception):
    """Nobody plays that role on that host at the moment."""


class ProcessKill:
    """kill -9 of the processes of one role; the host's supervisor starts them again."""

    def __init__(self, fabric: Fabric, host: str, role: str) -> None:
        self._host, self._role = find_host(fabric, host), role
        self._words = _words_of(role)

    @property
    def name(self) -> str:
        return f"kill {self._role} on {self._host.name}"

    def arm(self) -> None:
        """Raises NoSuchProcess: a fault that hits nothing would prove nothing."""
        _signal(self._host.cgroup, self._words, signal.SIGKILL, self.name)

    def disarm(self) -> None:
        """Nothing to undo: starting again is the supervisor's duty, and part of what is tested."""

    def describe(self) -> str:
        return f"{self._role} on {self._host.name} is killed without warning"


class ProcessPause:
    """SIGSTOP of one role, SIGCONT when disarmed: a long garbage collection, a stalled disk."""

    def __init__(self, fabric: Fabric, host: str, role: str) -> None:
        self._host, self._role = find_host(fabric, host), role
        self._words = _words_of(role)

    @property
    def name(self) -> str:
        return f"pause {self._role} on {self._host.name}"

    def arm(self) -> None:
        _signal(self._host.cgroup, self._words, signal.SIGSTOP, self.name)

    def disarm(self) -> None:
        with contextlib.suppress(NoSuchProcess):
            _signal(self._host.cgroup, self._words, signal.SIGCONT, self.name)

    def describe(self) -> str:
        return f"{self._role} on {self._host.name} stands still, its connections open"


def find_processes(cgroup: str, words: tuple[str, ...]) -> list[int]:
    """Processes below a cgroup whose command line has these words in a row (the first may be a path's last part)."""
    return sorted(pid for pid in cgroups.pids(cgroup) if _has_words(command_line(pid), words))


def command_line(pid: int) -> list[str]:
    """Empty for a process that has gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _words_of(role: str) -> tuple[str, ...]:
    if role not in ROLES:
        raise ValueError(f"role {role!r} is unknown; roles are {', '.join(ROLES)}")
    return ROLES[role]


def _has_words(line: list[str], words: tuple[str, ...]) -> bool:
    if line and os.path.basename(line[0]) == words[0] and len(words) == 1:
        return True
    return any(tuple(line[i : i + len(words)]) == words for i in range(len(line) - len(words) + 1)) and len(words) > 1


def _signal(cgroup: str, words: tuple[str, ...], number: signal.Signals, what: str) -> None:
    """Through a pidfd and a second look at the command line, so that a reused pid is never hit."""
    hit = 0
    for pid in find_processes(cgroup, words):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if _has_words(command_line(pid), words):
                signal.pidfd_send_signal(fd, number)
                hit += 1
        except ProcessLookupError:
            continue
        finally:
            os.close(fd)
    if not hit:
        raise NoSuchProcess(f"{what}: no such process below {cgroup}")
