"""The embedded engine's shim dies, and another one takes up what it left: nothing is disturbed or forgotten."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from enginedaemons import Daemon, make_daemon, mounts_below
from enginekit import BOX, FOREVER, Pod, container_of, drain, log_text, pod_on, run_in, until, wait_ended, wait_log

from node.engine.base import Engine, EngineUnavailable, StartError
from node.engine.embedded.records import Running, load

TICKER = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.02; done"]


@pytest.fixture(scope="module", params=["embedded-python", "embedded-runc"])
def own_shim(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, box_archive: Path
) -> Iterator[Daemon]:
    daemon = make_daemon(request.param, tmp_path_factory.mktemp("shim"))
    try:
        daemon.start()
        asyncio.run(daemon.make_engine().load_image(str(box_archive)))
        yield daemon
        daemon.stop()
        assert mounts_below(daemon.folder) == []
    finally:
        daemon.clear()


@pytest.fixture
def shim(own_shim: Daemon) -> Daemon:
    """Running, whatever the test before did to it."""
    if not own_shim.is_running:
        own_shim.start()
    return own_shim


@pytest.fixture
def with_pod(shim: Daemon, tmp_path: Path) -> Callable[[Callable[[Pod], Awaitable[None]]], None]:
    def run(scenario: Callable[[Pod], Awaitable[None]]) -> None:
        async def main() -> None:
            async with pod_on(shim.make_engine(), shim.group, tmp_path) as pod:
                await scenario(pod)

        asyncio.run(main())

    return run


def main_pid(shim: Daemon, container_id: str) -> Running:
    running = load(shim.folder / "root" / "containers" / container_id / "run.json", Running)
    assert running is not None
    return running


async def gone(path: str) -> bool:
    return not Path(path).exists()


def test_running_containers_are_adopted_with_their_logs(shim: Daemon, with_pod: Any) -> None:
    async def scenario(pod: Pod) -> None:
        engine = pod.engine
        container_id = await pod.run(TICKER)
        await wait_log(engine, container_id, "tick 3\n")
        before = await container_of(engine, container_id)
        shim.kill()
        with pytest.raises(EngineUnavailable):
            await engine.list_containers()
        shim.start()
        after = await container_of(engine, container_id)
        assert after == before
        assert (await pod.sandbox()).running
        last = (await log_text(engine, container_id)).count("\n")
        await wait_log(engine, container_id, f"tick {last + 5}\n")
        lines = (await log_text(engine, container_id)).splitlines()
        assert lines == [f"tick {number}" for number in range(1, len(lines) + 1)], "no line is lost or doubled"
        assert (await run_in(engine, container_id, "echo inside"))[:2] == (0, "inside\n")
        await engine.stop_container(container_id, 0)
        assert (await container_of(engine, container_id)).exit_code == 137

    with_pod(scenario)


def test_an_exit_code_is_not_lost_when_the_end_comes_without_a_shim(shim: Daemon, with_pod: Any) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.02; done"])
        await wait_log(pod.engine, container_id, "ready")
        running = main_pid(shim, container_id)
        shim.kill()
        os.kill(running.main.pid, signal.SIGTERM)
        await until(lambda: gone(f"/proc/{running.main.pid}"))
        shim.start()
        ended = await wait_ended(pod.engine, container_id)
        assert (ended.exit_code, ended.reason) == (42, "Error")

    with_pod(scenario)


def test_a_terminal_survives_the_shim(shim: Daemon, with_pod: Any) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["sh", "-c", "read x; stty size; echo got $x; read y"], tty=True, stdin=True)
        shim.kill()
        shim.start()
        session = await pod.engine.attach(container_id, stdin=True)
        await session.resize(70, 20)
        await session.write(b"word\n")
        await wait_log(pod.engine, container_id, "got word")
        assert "20 70" in await log_text(pod.engine, container_id)
        await session.close()

    with_pod(scenario)


def test_an_input_that_is_taken_once_survives_the_shim_and_so_does_its_end(shim: Daemon, with_pod: Any) -> None:
    async def scenario(pod: Pod) -> None:
        command = ["sh", "-c", "read x; echo got $x; until [ -e /go ]; do sleep 0.05; done; cat; echo end; sleep 1000"]
        container_id = await pod.run(command, stdin=True, stdin_once=True)
        shim.kill()
        shim.start()
        session = await pod.engine.attach(container_id, stdin=True)
        await session.write(b"word\n")
        await wait_log(pod.engine, container_id, "got word")
        await session.close_stdin()
        await session.close()
        minder = main_pid(shim, container_id)

        async def let_go() -> bool:
            return os.readlink(f"/proc/{minder.minder.pid}/fd/{minder.feed}") == "/dev/null"

        await until(let_go, "the end of the input")
        shim.kill()
        shim.start()
        await run_in(pod.engine, container_id, "touch /go")
        await wait_log(pod.engine, container_id, "end")

    with_pod(scenario)


def test_a_power_cut_leaves_containers_exited_and_the_pod_removable(shim: Daemon, with_pod: Any) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        finished = await pod.run(["sh", "-c", "exit 3"])
        await wait_ended(pod.engine, finished)
        running, sandbox = main_pid(shim, container_id), await pod.sandbox()
        shim.kill()
        for pid in (running.minder.pid, running.main.pid, sandbox.pid):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: gone(f"/proc/{running.main.pid}"))
        shim.start()
        ended = await wait_ended(pod.engine, container_id)
        assert (ended.exit_code, ended.reason) == (255, "ContainerStatusUnknown")
        assert (await container_of(pod.engine, finished)).exit_code == 3
        assert not (await pod.sandbox()).running
        with pytest.raises(StartError):
            await pod.run(FOREVER)

    with_pod(scenario)


def test_a_killed_minder_takes_its_container_with_it(shim: Daemon, with_pod: Any) -> None:
    """Nobody would see the container's end any more."""

    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        running = main_pid(shim, container_id)
        os.kill(running.minder.pid, signal.SIGKILL)
        assert (await wait_ended(pod.engine, container_id)).exit_code == 255
        await until(lambda: gone(f"/proc/{running.main.pid}"))

    with_pod(scenario)


def test_a_reused_process_id_is_not_mistaken_for_the_container(shim: Daemon, with_pod: Any) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        path = shim.folder / "root" / "containers" / container_id / "run.json"
        running = main_pid(shim, container_id)
        shim.kill()
        for pid in (running.minder.pid, running.main.pid):
            os.kill(pid, signal.SIGKILL)
        bystander = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220
        try:
            forged = path.read_text().replace(f'"pid":{running.main.pid}', f'"pid":{bystander.pid}')
            path.write_text(forged.replace(f'"pid":{running.minder.pid}', f'"pid":{bystander.pid}'))
            shim.start()
            assert (await wait_ended(pod.engine, container_id)).exit_code == 255
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()

    with_pod(scenario)


def test_a_log_that_cannot_be_written_is_a_start_error(with_pod: Any, tmp_path: Path) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.create(FOREVER, log_path=str(tmp_path / "missing" / "c.log"))
        with pytest.raises(StartError):
            await pod.engine.start_container(container_id)
        assert (await container_of(pod.engine, container_id)).reason == "StartError"

    with_pod(scenario)


def test_half_made_containers_are_cleared_at_start(shim: Daemon) -> None:
    folder = shim.folder / "root" / "containers" / ("f" * 64)
    shim.kill()
    folder.mkdir()
    (folder / "record.json").write_text('{"id": "torn')
    shim.start()

    async def listed() -> list[str]:
        return [each.id for each in await shim.make_engine().list_containers()]

    assert "f" * 64 not in asyncio.run(listed())
    assert not folder.exists()


def test_only_one_shim_rules_a_folder(shim: Daemon) -> None:
    argv = [sys.executable, "-m", "node.engine.embedded", "--socket", str(shim.folder / "other.sock")]
    argv += ["--root", str(shim.folder / "root"), "--cgroup-parent", shim.group]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert second.returncode != 0
    assert "another shim" in second.stderr


def test_a_client_that_goes_away_takes_its_exec_with_it(shim: Daemon, with_pod: Any) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        session = await pod.engine.exec(container_id, ["sleep", "7654"], tty=False, stdin=False)
        await session.close()

        async def ended() -> bool:
            return "7654" not in (await run_in(pod.engine, container_id, "ps -o args"))[1]

        await until(ended)
        assert (await container_of(pod.engine, container_id)).state == "running"

    with_pod(scenario)


def test_many_pods_at_once(shim: Daemon, tmp_path: Path) -> None:
    async def one(engine: Engine, number: int) -> None:
        async with pod_on(engine, shim.group, tmp_path, name=f"pod-{number}") as pod:
            container_id = await pod.run(["sh", "-c", f"exit {number}"])
            assert (await wait_ended(engine, container_id)).exit_code == number

    async def main() -> None:
        engine = shim.make_engine()
        await asyncio.gather(*(one(engine, number) for number in range(12)))
        assert await engine.list_sandboxes() == []
        assert await engine.list_containers() == []
        session_of_nobody = engine.exec("0" * 64, ["true"], tty=False, stdin=False)
        with pytest.raises(Exception, match="no such container"):
            await drain(await session_of_nobody)
        assert (await engine.image_status(BOX)) is not None

    asyncio.run(main())
