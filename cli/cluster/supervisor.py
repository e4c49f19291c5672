"""Runs the processes of one host: starts them in order, restarts what dies with back-off, stops them in reverse.

One supervisor a host (`timonier master run`, `timonier node run`). It owns the log files, which it bounds by
rotation, and `supervisor.json`, which says what runs, under which pid, and how often it was restarted.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cli.cluster.hostspec import HostSpec, Process

log = logging.getLogger("supervisor")

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
STABLE_AFTER_S = 10.0  # a process that ran this long starts its back-off anew
LOG_MAX_BYTES = 16 << 20
LOG_CHECK_S = 5.0
STATE_FILE = "supervisor.json"


class ProcessState(msgspec.Struct):
    """What `timonier status` shows of a process."""

    name: str
    pid: int = 0
    restarts: int = 0
    started_at_s: float = 0.0
    last_exit: str = ""


class SupervisorState(msgspec.Struct):
    host: str
    pid: int
    processes: list[ProcessState]


def next_backoff(previous_s: float, ran_for_s: float) -> float:
    """Doubles while a process dies young; starts anew when it had been stable."""
    if ran_for_s >= STABLE_AFTER_S:
        return BACKOFF_FIRST_S
    return min(max(previous_s * 2, BACKOFF_FIRST_S), BACKOFF_MAX_S)


def describe_exit(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"


class _Child:
    """One process and its restarts."""

    def __init__(self, process: Process, log_path: Path, changed: Callable[[], None]) -> None:
        self.state = ProcessState(process.name)
        self._process = process
        self._log_path = log_path
        self._changed = changed
        self._running: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def run(self) -> None:
        """Until stopped: start, wait, back off, again."""
        backoff_s = 0.0
        while not self._stopping:
            started = time.monotonic()
            await self._start()
            assert self._running is not None
            code = await self._running.wait()
            self.state.pid, self.state.last_exit = 0, describe_exit(code)
            if self._stopping:
                break
            backoff_s = next_backoff(backoff_s, time.monotonic() - started)
            log.warning("%s ended (%s); again in %.1f s", self.state.name, self.state.last_exit, backoff_s)
            self.state.restarts += 1
            self._changed()
            await asyncio.sleep(backoff_s)

    async def _start(self) -> None:
        with self._log_path.open("ab") as output:
            self._running = await asyncio.create_subprocess_exec(
                *self._process.argv, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.state.pid, self.state.started_at_s = self._running.pid, time.time()
        self._changed()

    async def stop(self) -> None:
        """SIGTERM, a bounded wait, then SIGKILL."""
        self._stopping = True
        if self._running is None or self._running.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._running.terminate()
        try:
            await asyncio.wait_for(self._running.wait(), self._process.stop_grace_s)
        except TimeoutError:
            log.info("%s did not stop in %.1f s; killed", self.state.name, self._process.stop_grace_s)
            with contextlib.suppress(ProcessLookupError):
                self._running.kill()

    def rotate_log(self) -> None:
        """Keeps one older file; the writer holds the file open, so its content is copied and cut."""
        with contextlib.suppress(FileNotFoundError):
            if self._log_path.stat().st_size <= LOG_MAX_BYTES:
                return
            self._log_path.with_suffix(".log.1").write_bytes(self._log_path.read_bytes())
            os.truncate(self._log_path, 0)


async def supervise(spec: HostSpec) -> None:
    """Runs the host until SIGTERM or SIGINT."""
    log_dir, run_dir = Path(spec.log_dir), Path(spec.run_dir)
    log_dir.mkdir(parents=True, exist_ok=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    children: list[_Child] = []

    def write_state() -> None:
        state = SupervisorState(spec.host, os.getpid(), [child.state for child in children])
        temporary = run_dir / f"{STATE_FILE}.new"
        temporary.write_bytes(msgspec.json.encode(state))
        temporary.rename(run_dir / STATE_FILE)

    children += [_Child(process, log_dir / f"{process.name}.log", write_state) for process in spec.processes]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(child.run(), name=child.state.name) for child in children]
    try:
        while not stop.is_set():
            for child in children:
                child.rotate_log()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOG_CHECK_S)
    finally:
        for child in reversed(children):
            child._stopping = True
        # The engine is first in start order: it goes last, after those who talk to it.
        await asyncio.gather(*(child.stop() for child in children[1:]))
        await asyncio.gather(*(child.stop() for child in children[:1]))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        (run_dir / STATE_FILE).unlink(missing_ok=True)


def read_state(run_dir: Path) -> SupervisorState | None:
    """The supervisor's last word, or None when it stopped cleanly or never ran."""
    try:
        return msgspec.json.decode((run_dir / STATE_FILE).read_bytes(), type=SupervisorState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def run_host(spec_file: Path) -> None:
    """Entry point of `timonier master run` and `timonier node run`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    spec = msgspec.json.decode(spec_file.read_bytes(), type=HostSpec)
    asyncio.run(supervise(spec))
