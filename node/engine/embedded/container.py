"""One container in the shim's memory: its records, its streams, and the watch over its minder."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from node.engine.base import ContainerState
from node.engine.embedded import syscalls
from node.engine.embedded.fork import fork, read_report, wait_exit
from node.engine.embedded.minder import END_OF_INPUT, mind, receive_fd
from node.engine.embedded.plan import Plan
from node.engine.embedded.records import (
    UNKNOWN_EXIT_CODE,
    ContainerRecord,
    Exited,
    Running,
    container_state,
    load,
    save,
)
from node.engine.embedded.streams import ContainerStreams, make_pipes, open_for_container, open_single_input
from node.engine.errors import EngineError, StartError

KILL_TIMEOUT_S = 30.0
# After the end, output may still be on its way through the pipes; a process that was handed them may hold them open.
DRAIN_TIMEOUT_S = 2.0
# What runc and Docker say of a program that could not be started.
START_FAILED = 128


class Container:
    """Everything here is also on disk; a new shim makes the same object from there."""

    def __init__(self, folder: Path, record: ContainerRecord, on_exit: Callable[["Container"], None]) -> None:
        self.folder = folder
        self.record = record
        self.plan: Plan | None = load(folder / "plan.json", Plan)
        self.running: Running | None = load(folder / "run.json", Running)
        self.exited: Exited | None = load(folder / "exit.json", Exited)
        self.streams: ContainerStreams | None = None
        self.ended = asyncio.Event()
        self._drained = asyncio.Event()
        self._on_exit = on_exit
        self._watch: asyncio.Task[None] | None = None
        if self.exited:
            self.ended.set()

    def state(self) -> ContainerState:
        return container_state(self.record, self.running, self.exited)

    @property
    def is_running(self) -> bool:
        return self.running is not None and self.exited is None

    async def start(self, plan: Plan, runc: str) -> None:
        """Raises `StartError`; the container has failed then, and says why."""
        save(self.folder / "plan.json", plan)
        self.plan = plan
        try:
            self.streams = ContainerStreams(self.record.log_path, self._drained.set)
            pid, report, terminal_from = self._fork_minder(plan, self.streams, runc)
        except OSError as error:
            raise self._start_failed(f"{error.filename or 'streams'}: {error.strerror}") from error
        complaint = (await read_report(report)).decode(errors="replace")
        running = load(self.folder / "run.json", Running)
        if complaint or running is None:
            await wait_exit(pid)
            (self.folder / "run.json").unlink(missing_ok=True)
            raise self._start_failed(complaint or "the minder died")
        self.running = running
        if terminal_from is not None:
            self.streams.follow_terminal(receive_fd(terminal_from))
        self._watch = asyncio.create_task(self._await_end(running), name=f"container {self.record.id}")

    def adopt(self) -> None:
        """Takes up a container that an earlier shim started, alive or ended meanwhile."""
        assert self.running is not None
        try:
            self.streams = ContainerStreams(self.record.log_path, self._drained.set)
        except OSError:  # its folder is gone; the container must be minded all the same
            self.streams = ContainerStreams(str(self.folder / "container.log"), self._drained.set)
        self._reconnect_streams(self.streams, self.running)
        self._watch = asyncio.create_task(self._await_end(self.running), name=f"container {self.record.id}")

    def _fork_minder(self, plan: Plan, streams: ContainerStreams, runc: str) -> tuple[int, int, socket.socket | None]:
        """The minder's pid, the pipe of its report, and where the terminal comes from."""
        feed = -1
        if plan.tty:
            far = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
        else:
            named = plan.stdin and not plan.stdin_once
            make_pipes(self.folder, plan.identity.uid, stdin=named)
            far = open_for_container(self.folder, stdin=named)
            # Before anybody can write and go away again: an abandoned pipe forgets what was in it.
            streams.follow_pipes(self.folder)
        if plan.stdin_once:
            os.close(far[0])
            far[0], feed = open_single_input(plan.identity.uid)
            streams.follow_single_input(os.dup(feed), self._release_input)
        ours, theirs = socket.socketpair() if plan.tty else (None, None)
        report_in, report_out = os.pipe()
        held = [report_out, *far, *([feed] if feed >= 0 else [])]
        pid = fork(
            lambda: mind(plan, far, feed, report_out, theirs, runc), {*held, *([theirs.fileno()] if theirs else [])}
        )
        for fd in held:
            os.close(fd)
        if theirs is not None:
            theirs.close()
        return pid, report_in, ours

    async def stop(self, signal_name: str, grace_s: float) -> None:
        if not self.is_running:
            return
        if grace_s > 0:
            self.signal(_signal_number(signal_name))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), grace_s)
                return
        self.signal(signal.SIGKILL)
        try:
            await asyncio.wait_for(self.ended.wait(), KILL_TIMEOUT_S)
        except TimeoutError:
            raise EngineError(f"container {self.record.id[:12]} does not end after SIGKILL") from None

    def signal(self, number: int) -> None:
        """To the first process, if it still is that process."""
        if self.running is not None and self.running.main.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.running.main.pid, number)

    async def exit_code(self) -> int:
        await self.ended.wait()
        return self.exited.exit_code if self.exited else UNKNOWN_EXIT_CODE

    def remove(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self.streams is not None:
            self.streams.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _reconnect_streams(self, streams: ContainerStreams, running: Running) -> None:
        if not running.minder.is_alive():  # and with it went what was still in the pipes
            self._drained.set()
            return
        if running.terminal >= 0:
            streams.follow_terminal(_fetch(running, running.terminal))
            return
        streams.follow_pipes(self.folder)
        feed = _fetch(running, running.feed) if running.feed >= 0 else -1
        if feed >= 0:
            streams.follow_single_input(feed, self._release_input)

    def _release_input(self) -> None:
        if self.running is not None and self.running.minder.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.running.minder.pid, END_OF_INPUT)

    async def _await_end(self, running: Running) -> None:
        if running.minder.exists():
            await wait_exit(running.minder.pid)
        exited = load(self.folder / "exit.json", Exited)
        if exited is None and running.main.is_alive():
            self.signal(signal.SIGKILL)  # somebody killed the minder: nobody would see this container's end
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._drained.wait(), DRAIN_TIMEOUT_S)
        self._set_exited(exited or Exited(UNKNOWN_EXIT_CODE, time.time(), reason="ContainerStatusUnknown"))

    def _start_failed(self, why: str) -> StartError:
        self._set_exited(Exited(START_FAILED, time.time(), reason="StartError", message=why))
        return StartError(why)

    def _set_exited(self, exited: Exited) -> None:
        save(self.folder / "exit.json", exited)
        self.exited = exited
        self.ended.set()
        if self.streams is not None:
            self.streams.close()
        self._on_exit(self)


def _fetch(running: Running, number: int) -> int:
    """A copy of the minder's descriptor; -1 when the minder has just ended, and what it held with it."""
    try:
        pidfd = os.pidfd_open(running.minder.pid)
    except ProcessLookupError:
        return -1
    try:
        return syscalls.take_fd(pidfd, number)
    except OSError:
        return -1
    finally:
        os.close(pidfd)


def _signal_number(name: str) -> int:
    """`SIGTERM`, `TERM` or `15`, as images write it."""
    if name.isdigit():
        return int(name)
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    return int(getattr(signal, full, signal.SIGTERM))
