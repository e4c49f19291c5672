"""A supervisor restarts what dies, bounds how often, and leaves nothing when it stops."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.cluster.hostspec import HostSpec, Process
from cli.cluster.supervisor import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    STABLE_AFTER_S,
    SupervisorState,
    next_backoff,
    read_state,
    supervise,
)

SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]


@given(st.floats(0, 100), st.floats(0, STABLE_AFTER_S * 2))
def test_back_off_is_bounded_and_starts_anew_after_a_stable_run(previous_s: float, ran_for_s: float) -> None:
    backoff = next_backoff(previous_s, ran_for_s)
    assert BACKOFF_FIRST_S <= backoff <= BACKOFF_MAX_S
    if ran_for_s >= STABLE_AFTER_S:
        assert backoff == BACKOFF_FIRST_S


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
def spec(tmp_path: Path) -> HostSpec:
    return HostSpec(
        "test", [Process("first", SLEEP), Process("second", SLEEP)], str(tmp_path / "logs"), str(tmp_path / "run")
    )


def state_of(spec: HostSpec) -> SupervisorState:
    state = read_state(Path(spec.run_dir))
    assert state is not None
    return state


def running(spec: HostSpec) -> bool:
    state = read_state(Path(spec.run_dir))
    return state is not None and all(process.pid for process in state.processes)


def test_a_killed_process_is_started_again_and_counted(spec: HostSpec) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(supervise(spec))
        try:
            await until(lambda: running(spec))
            victim = state_of(spec).processes[0].pid
            os.kill(victim, signal.SIGKILL)
            await until(lambda: state_of(spec).processes[0].pid not in (0, victim))
            first, second = state_of(spec).processes
            assert (first.restarts, first.last_exit, second.restarts) == (1, "killed by SIGKILL", 0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


def test_stopping_ends_every_process(spec: HostSpec) -> None:
    async def scenario() -> list[int]:
        task = asyncio.create_task(supervise(spec))
        await until(lambda: running(spec))
        pids = [process.pid for process in state_of(spec).processes]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 20)
        return pids

    pids = asyncio.run(scenario())
    assert not any(alive(pid) for pid in pids)
    assert read_state(Path(spec.run_dir)) is None
