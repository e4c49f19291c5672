"""What every container engine must do, checked on each with real processes."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from enginedaemons import Daemon, mounts_below
from enginekit import (
    BOX,
    FOREVER,
    Pod,
    container_of,
    drain,
    log_text,
    pod_on,
    run_in,
    until,
    wait_ended,
    wait_log,
)

from node import cgroups
from node.engine import capabilities
from node.engine.base import (
    STDOUT,
    Engine,
    EngineUnavailable,
    ImageNotFound,
    ImagePullError,
    InvalidContainer,
    Mount,
    NotFound,
    StartError,
)

Scenario = Callable[[Engine], Awaitable[None]]
PodScenario = Callable[[Pod], Awaitable[None]]


@pytest.fixture
def with_engine(daemon: Daemon, box_archive: Path) -> Callable[[Scenario], None]:
    """Runs a scenario on a fresh client of the engine; the image is there."""

    async def main(scenario: Scenario) -> None:
        engine = daemon.make_engine()
        try:
            if await engine.image_status(BOX) is None:
                await engine.load_image(str(box_archive))
            await scenario(engine)
        finally:
            await engine.close()

    return lambda scenario: asyncio.run(main(scenario))


@pytest.fixture
def with_pod(daemon: Daemon, with_engine: Callable[[Scenario], None], tmp_path: Path) -> Callable[..., None]:
    """Runs a scenario on one pod, which is removed afterwards."""

    def run(scenario: PodScenario, **spec: Any) -> None:
        async def main(engine: Engine) -> None:
            async with pod_on(engine, daemon.group, tmp_path, **spec) as pod:
                await scenario(pod)

        with_engine(main)

    return run


WithPod = Callable[..., None]
WithEngine = Callable[[Scenario], None]


# Sandboxes.


def test_containers_of_a_pod_share_network_ipc_and_host_name_but_not_processes(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        await pod.run(["sh", "-c", "echo served | nc -l -p 8080"])
        client = (
            "until nc 127.0.0.1 8080 </dev/null; do sleep 0.05; done; hostname; readlink /proc/self/ns/ipc; echo $$"
        )
        text = await pod.output(client)
        sandbox = await pod.sandbox()
        assert text.splitlines() == ["served", "web-0", os.readlink(f"/proc/{sandbox.pid}/ns/ipc"), "1"]
        assert os.readlink(sandbox.netns) != os.readlink("/proc/self/ns/net")

    with_pod(scenario)


def test_a_sandbox_says_whose_it_is_and_that_it_runs(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        sandbox = await pod.sandbox()
        assert (sandbox.pod_uid, sandbox.name, sandbox.namespace, sandbox.attempt) == (pod.uid, "web", "default", 3)
        assert sandbox.running
        assert sandbox.labels["colour"] == "blue"
        assert abs(sandbox.created_at - time.time()) < 60
        await pod.engine.stop_sandbox(pod.id)
        stopped = await pod.sandbox()
        assert not stopped.running
        assert stopped.netns == ""
        await pod.engine.stop_sandbox(pod.id)

    with_pod(scenario, attempt=3, labels={"colour": "blue"})


def test_stopping_a_sandbox_ends_its_containers(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        await pod.engine.stop_sandbox(pod.id)
        assert (await wait_ended(pod.engine, container_id)).exit_code == 137

    with_pod(scenario)


def test_a_host_network_pod_sees_the_nodes_network(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        text = await pod.output("readlink /proc/self/ns/net")
        assert text.strip() == os.readlink("/proc/self/ns/net")
        assert (await pod.sandbox()).netns == ""

    with_pod(scenario, host_network=True)


def test_containers_see_each_other_when_the_pod_shares_its_processes(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        await pod.run(["sleep", "4242"])
        text = await pod.output("ps -o args; echo $$")
        assert "sleep 4242" in text
        assert text.splitlines()[-1] != "1"

    with_pod(scenario, share_pid=True)


def test_host_pid_shows_the_nodes_processes(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        assert (await pod.output(f"test -d /proc/{os.getpid()} && echo seen")).strip() == "seen"

    with_pod(scenario, host_pid=True)


def test_names_are_resolved_as_the_pod_says(with_pod: WithPod, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("10.1.2.3 elsewhere\n")

    async def scenario(pod: Pod) -> None:
        text = await pod.output("cat /etc/resolv.conf; cat /etc/hosts")
        assert "nameserver 10.96.0.10" in text
        assert "search default.svc.cluster.local svc.cluster.local" in text
        assert "options ndots:5" in text
        assert "10.1.2.3 elsewhere" in text
        hosts.write_text("10.1.2.4 changed\n")
        assert "changed" in await pod.output("cat /etc/hosts")

    with_pod(
        scenario,
        dns_servers=["10.96.0.10"],
        dns_search=["default.svc.cluster.local", "svc.cluster.local"],
        dns_options=["ndots:5"],
        hosts_file=str(hosts),
    )


def test_sysctls_of_the_pod_are_set(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        assert (await pod.output("cat /proc/sys/net/ipv4/ip_unprivileged_port_start")).strip() == "80"

    with_pod(scenario, sysctls={"net.ipv4.ip_unprivileged_port_start": "80"})


# Life and death of containers.


def test_a_container_goes_from_created_to_running_to_exited(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        engine = pod.engine
        container_id = await pod.create(["sh", "-c", "sleep 0.3; exit 7"], attempt=2, labels={"colour": "red"})
        created = await container_of(engine, container_id)
        assert (created.state, created.attempt, created.name, created.sandbox_id) == ("created", 2, "c1", pod.id)
        assert (created.pod_uid, created.image, created.labels["colour"]) == (pod.uid, BOX, "red")
        await engine.start_container(container_id)
        running = await container_of(engine, container_id)
        assert running.state == "running"
        assert running.exit_code is None
        assert Path(f"/proc/{running.pid}").exists()
        info = await engine.image_status(BOX)
        assert info is not None
        assert info.id == running.image_id
        ended = await wait_ended(engine, container_id)
        assert (ended.exit_code, ended.reason, ended.oom_killed) == (7, "Error", False)
        assert created.created_at <= ended.started_at <= ended.finished_at

    with_pod(scenario)


def test_success_and_death_by_signal_have_their_codes(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        fine, killed = await pod.run(["true"]), await pod.run(["sh", "-c", "sleep 1000"])
        ended = await wait_ended(pod.engine, fine)
        assert (ended.exit_code, ended.reason) == (0, "Completed")
        os.kill((await container_of(pod.engine, killed)).pid, 9)
        ended = await wait_ended(pod.engine, killed)
        assert (ended.exit_code, ended.reason) == (137, "Error")

    with_pod(scenario)


def test_a_command_that_does_not_exist_is_a_start_error(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.create(["/no/such/program"])
        with pytest.raises(StartError, match="no/such/program"):
            await pod.engine.start_container(container_id)
        state = await container_of(pod.engine, container_id)
        assert (state.state, state.reason) == ("exited", "StartError")
        assert state.exit_code in (127, 128)
        await pod.engine.remove_container(container_id)

    with_pod(scenario)


def test_impossible_orders_are_refused(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        with pytest.raises(InvalidContainer):
            await pod.create(FOREVER, cap_add=["FLYING"])
        with pytest.raises(InvalidContainer):
            await pod.create(FOREVER, mounts=[Mount(source="/no/such/place", target="/data")])
        with pytest.raises(ImageNotFound):
            await pod.create(FOREVER, image="no/such:image")
        with pytest.raises(NotFound):
            await pod.engine.start_container("0" * 64)

    with_pod(scenario)


def test_stop_lets_a_container_finish_within_its_grace_period(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
        container_id = await pod.run(["sh", "-c", script])
        await wait_log(pod.engine, container_id, "ready")
        await pod.engine.stop_container(container_id, 10)
        ended = await container_of(pod.engine, container_id)
        assert (ended.state, ended.exit_code) == ("exited", 5)
        await wait_log(pod.engine, container_id, "bye")

    with_pod(scenario)


def test_stop_kills_what_does_not_listen(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
        container_id = await pod.run(["sh", "-c", script])
        await wait_log(pod.engine, container_id, "ready")
        began_s = time.monotonic()
        await pod.engine.stop_container(container_id, 0.4)
        assert time.monotonic() - began_s >= 0.4
        assert (await container_of(pod.engine, container_id)).exit_code == 137

    with_pod(scenario)


def test_the_stop_signal_may_be_another(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
        container_id = await pod.run(["sh", "-c", script], stop_signal="SIGINT")
        await wait_log(pod.engine, container_id, "ready")
        await pod.engine.stop_container(container_id, 10)
        assert (await container_of(pod.engine, container_id)).exit_code == 9

    with_pod(scenario)


def test_stopping_and_removing_what_is_gone_succeeds(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        await pod.engine.remove_container(container_id)
        await pod.engine.remove_container(container_id)
        await pod.engine.stop_container(container_id, 1)
        await pod.engine.stop_sandbox("1" * 64)
        await pod.engine.remove_sandbox("1" * 64)
        assert container_id not in [each.id for each in await pod.engine.list_containers()]

    with_pod(scenario)


def test_a_removed_pod_leaves_no_process_no_cgroup_and_no_mount(
    with_engine: WithEngine, daemon: Daemon, tmp_path: Path
) -> None:
    async def scenario(engine: Engine) -> None:
        mounts = mounts_below(daemon.folder)
        async with pod_on(engine, daemon.group, tmp_path) as pod:
            running = await container_of(engine, await pod.run(FOREVER))
            await wait_ended(engine, await pod.run(["true"]))
            sandbox = await pod.sandbox()
            assert mounts_below(daemon.folder) != mounts
        assert [each.id for each in await engine.list_sandboxes() if each.pod_uid == pod.uid] == []
        assert [each.id for each in await engine.list_containers() if each.pod_uid == pod.uid] == []
        assert not Path(f"/proc/{running.pid}").exists()
        assert not Path(f"/proc/{sandbox.pid}").exists()
        assert mounts_below(daemon.folder) == mounts
        groups = [path for path in Path("/sys/fs/cgroup").rglob(f"pod{pod.uid}") if path.is_dir()]
        assert groups == []

    with_engine(scenario)


def test_another_client_finds_everything_again(daemon: Daemon, with_pod: WithPod) -> None:
    """A kubelet that restarts."""

    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER, attempt=4)
        other = daemon.make_engine()
        try:
            assert await container_of(other, container_id) == await container_of(pod.engine, container_id)
            assert pod.id in [each.id for each in await other.list_sandboxes()]
            await other.stop_container(container_id, 0)
        finally:
            await other.close()
        assert (await container_of(pod.engine, container_id)).state == "exited"

    with_pod(scenario)


# What a container is given.


def test_command_and_args_override_the_images_as_kubernetes_says(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        default = await pod.run(None)
        args = await pod.run(None, args=["echo", "only args"])
        await wait_ended(pod.engine, default)
        await wait_ended(pod.engine, args)
        assert await log_text(pod.engine, default) == "default command\n"
        assert await log_text(pod.engine, args) == "only args\n"
        both = await pod.run(["echo"], args=["both", "of them"])
        await wait_ended(pod.engine, both)
        assert await log_text(pod.engine, both) == "both of them\n"

    with_pod(scenario)


def test_environment_and_working_directory(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        text = await pod.output("echo $FLAVOUR $COLOUR; pwd; cat greeting", env=["COLOUR=red", "EMPTY="])
        assert text.splitlines() == ["plain red", "/srv", "hello from the image"]
        text = await pod.output("echo $FLAVOUR; pwd", env=["FLAVOUR=sweet=sour"], working_dir="/tmp")
        assert text.splitlines() == ["sweet=sour", "/tmp"]

    with_pod(scenario)


def test_users_and_groups(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        assert "uid=0(root) gid=0(root)" in await pod.output("id")
        text = await pod.output("id", user="1000", group="2000", supplemental_groups=[3000, 3001])
        assert "uid=1000 gid=2000" in text
        assert "3000" in text
        assert "3001" in text
        assert "uid=65534(nobody) gid=65534(nogroup)" in await pod.output("id", user="nobody")
        assert "uid=1234 gid=0(root)" in await pod.output("id", user="1234")

    with_pod(scenario)


def test_mounts_are_writable_or_not_as_ordered(with_pod: WithPod, tmp_path: Path) -> None:
    volume, file = tmp_path / "volume", tmp_path / "file"
    volume.mkdir()
    (volume / "seen").write_text("from the node\n")
    file.write_text("a file\n")
    mounts = [
        Mount(source=str(volume), target="/data"),
        Mount(source=str(volume), target="/data/nested/read-only", read_only=True),
        Mount(source=str(file), target="/etc/a/file"),
    ]

    async def scenario(pod: Pod) -> None:
        script = "cat /data/seen /etc/a/file; echo new > /data/written; touch /data/nested/read-only/x || echo no"
        text = await pod.output(script, mounts=mounts)
        assert text.splitlines() == ["from the node", "a file", "no"]
        assert (volume / "written").read_text() == "new\n"

    with_pod(scenario)


def test_a_read_only_root_takes_no_writes_but_volumes_do(with_pod: WithPod, tmp_path: Path) -> None:
    async def scenario(pod: Pod) -> None:
        script = "touch /x 2>/dev/null || echo no; touch /data/x && echo yes"
        text = await pod.output(script, read_only_root=True, mounts=[Mount(source=str(tmp_path), target="/data")])
        assert text.splitlines() == ["no", "yes"]
        assert (await pod.output("touch /x && echo yes")).strip() == "yes"

    with_pod(scenario)


def test_capabilities_are_those_ordered(with_pod: WithPod) -> None:
    allowed = capabilities.bounding_set()

    async def effective(pod: Pod, **spec: Any) -> frozenset[str]:
        text = await pod.output("grep CapEff /proc/self/status", **spec)
        return capabilities.from_bits(int(text.split()[1], 16))

    async def scenario(pod: Pod) -> None:
        default = await effective(pod)
        assert default <= capabilities.DEFAULTS
        assert {"CHOWN", "SETUID", "NET_BIND_SERVICE", "KILL"} <= default
        assert await effective(pod, cap_drop=["ALL"], cap_add=["NET_BIND_SERVICE"]) == {"NET_BIND_SERVICE"}
        assert "SYS_PTRACE" in await effective(pod, cap_add=["SYS_PTRACE"])
        assert "CHOWN" not in await effective(pod, cap_drop=["CAP_CHOWN"])
        assert await effective(pod, user="1000") == frozenset()
        privileged = await effective(pod, privileged=True)
        assert privileged >= allowed & {"SYS_ADMIN", "NET_ADMIN", "MKNOD", "CHOWN"}
        assert await effective(pod, cap_add=["ALL"]) >= allowed & {"SYS_ADMIN", "NET_ADMIN"}

    with_pod(scenario)


def test_a_privileged_container_may_mount_and_an_ordinary_one_may_not(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        script = "mount -t tmpfs none /tmp 2>/dev/null && echo mounted || echo refused"
        assert (await pod.output(script)).strip() == "refused"
        assert (await pod.output(script, privileged=True)).strip() == "mounted"

    with_pod(scenario)


def test_no_new_privileges_is_set_when_ordered(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        look = "grep NoNewPrivs /proc/self/status"
        assert (await pod.output(look, no_new_privileges=True)).split() == ["NoNewPrivs:", "1"]
        assert (await pod.output(look)).split() == ["NoNewPrivs:", "0"]

    with_pod(scenario)


def test_an_ordinary_container_cannot_change_the_kernel(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        script = (
            "(echo 1 > /proc/sys/kernel/sysrq) 2>/dev/null || echo no;"
            " (echo h > /proc/sysrq-trigger) 2>/dev/null || echo no;"
            " head -c 1 /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l;"
            " mknod /tmp/disk b 254 0 2>/dev/null && head -c 1 /tmp/disk 2>/dev/null | wc -c || echo 0"
        )
        assert (await pod.output(script)).split() == ["no", "no", "0", "0", "0"]

    with_pod(scenario)


def test_limits_reach_the_kernel_and_the_pods_cgroup_holds_its_containers(with_pod: WithPod) -> None:
    groups = cgroups.detect()

    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(
            FOREVER, memory_limit_bytes=64 << 20, cpu_shares=512, cpu_quota_us=50_000, pids_limit=50, oom_score_adj=500
        )
        pid = (await container_of(pod.engine, container_id)).pid
        assert pid in groups.pids(pod.group)
        assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "500"
        lines = (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
        paths = {name: path for _, names, path in lines for name in names.split(",")}
        assert all(paths[name].startswith(pod.group) for name in paths if name in ("memory", "cpu", "pids", ""))
        if groups.version == 1:
            root = Path("/sys/fs/cgroup")
            assert (root / "memory" / paths["memory"][1:] / "memory.limit_in_bytes").read_text().strip() == str(
                64 << 20
            )
            assert (root / "cpu" / paths["cpu"][1:] / "cpu.shares").read_text().strip() == "512"
            assert (root / "cpu" / paths["cpu"][1:] / "cpu.cfs_quota_us").read_text().strip() == "50000"
            assert (root / "pids" / paths["pids"][1:] / "pids.max").read_text().strip() == "50"

    with_pod(scenario)


def test_running_out_of_memory_is_told(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        hungry = ["sh", "-c", "x=abcdefgh; while :; do x=$x$x; done"]
        container_id = await pod.run(hungry, memory_limit_bytes=16 << 20)
        ended = await wait_ended(pod.engine, container_id)
        assert (ended.exit_code, ended.oom_killed, ended.reason) == (137, True, "OOMKilled")

    with_pod(scenario)


# Logs and streams.


def test_both_streams_are_in_the_log_and_stay_after_the_end(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["sh", "-c", "echo out; echo err >&2; echo -n unfinished"])
        await wait_ended(pod.engine, container_id)
        await wait_log(pod.engine, container_id, "unfinished")
        assert (await log_text(pod.engine, container_id)).startswith("out\nunfinished")
        assert await log_text(pod.engine, container_id, "stderr") == "err\n"

    with_pod(scenario)


def test_much_output_is_complete(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        lines = 20_000
        container_id = await pod.run(["sh", "-c", f"yes 0123456789012345678901234567890123456789 | head -n {lines}"])
        await wait_ended(pod.engine, container_id)

        async def complete() -> bool:
            return (await log_text(pod.engine, container_id)).count("\n") == lines

        await until(complete, "the whole log")

    with_pod(scenario)


def test_exec_has_output_streams_and_an_exit_code(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER, env=["COLOUR=red"], user="1000")
        code, out, err = await run_in(
            pod.engine, container_id, "echo $COLOUR; id -u; pwd; hostname; echo oops >&2; exit 3"
        )
        assert (code, out.splitlines(), err) == (3, ["red", "1000", "/srv", "web-0"], "oops\n")
        code, out, _ = await run_in(pod.engine, container_id, "kill -9 $$")
        assert code == 137

    with_pod(scenario)


def test_exec_reads_standard_input_to_its_end(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        session = await pod.engine.exec(container_id, ["wc", "-c"], tty=False, stdin=True)
        for _ in range(100):
            await session.write(b"x" * 1000)
        await session.close_stdin()
        out, _ = await drain(session)
        assert (out.strip(), await session.wait()) == ("100000", 0)
        await session.close()

    with_pod(scenario)


def test_exec_with_a_terminal_knows_its_size(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        command = ["sh", "-c", "read x; stty size; tty; exit 4"]
        session = await pod.engine.exec(container_id, command, tty=True, stdin=True)
        await session.resize(111, 33)
        await session.write(b"go\n")
        out, _ = await drain(session)
        assert "33 111" in out
        assert "/dev/pts/" in out
        assert await session.wait() == 4
        await session.close()

    with_pod(scenario)


def test_exec_of_a_missing_program_fails_without_harm(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(FOREVER)
        session = await pod.engine.exec(container_id, ["/no/such/program"], tty=False, stdin=False)
        await drain(session)
        assert await session.wait() in (126, 127, 128)
        await session.close()
        assert (await container_of(pod.engine, container_id)).state == "running"

    with_pod(scenario)


def test_exec_needs_a_running_container(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["true"])
        await wait_ended(pod.engine, container_id)
        with pytest.raises(Exception, match=r"(?i)not running|does not run|no running"):
            await pod.engine.exec(container_id, ["true"], tty=False, stdin=False)
        with pytest.raises(NotFound):
            await pod.engine.exec("0" * 64, ["true"], tty=False, stdin=False)

    with_pod(scenario)


def test_attach_speaks_with_the_main_process(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["cat"], stdin=True)
        session = await pod.engine.attach(container_id, stdin=True)
        await session.write(b"echoed\n")
        assert await session.read() == (STDOUT, b"echoed\n")
        await pod.engine.stop_container(container_id, 0)
        assert await session.read() is None
        assert await session.wait() == 137
        await session.close()
        assert await log_text(pod.engine, container_id) == "echoed\n"

    with_pod(scenario)


def test_input_that_is_taken_once_ends_with_its_first_client(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["sh", "-c", "cat; echo end"], stdin=True, stdin_once=True)
        spectator = await pod.engine.attach(container_id, stdin=False)
        feeder = await pod.engine.attach(container_id, stdin=True)
        await spectator.close()
        await feeder.write(b"food\n")
        await feeder.close_stdin()
        assert await drain(feeder) == ("food\nend\n", "")
        assert await feeder.wait() == 0
        await feeder.close()

    with_pod(scenario)


def test_input_that_is_taken_once_ends_when_its_client_vanishes(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["cat"], stdin=True, stdin_once=True)
        session = await pod.engine.attach(container_id, stdin=True)
        await session.write(b"last words")
        await session.close()
        assert (await wait_ended(pod.engine, container_id)).exit_code == 0
        assert await log_text(pod.engine, container_id) == "last words"

    with_pod(scenario)


def test_other_input_outlives_its_clients(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["cat"], stdin=True)
        for word in ("one", "two"):
            session = await pod.engine.attach(container_id, stdin=True)
            await session.write(f"{word}\n".encode())
            await wait_log(pod.engine, container_id, word)
            await session.close_stdin()
            await session.close()
        assert (await container_of(pod.engine, container_id)).state == "running"

    with_pod(scenario)


def test_a_container_may_have_a_terminal_of_its_own(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        container_id = await pod.run(["sh", "-c", "tty; read x; stty size; echo got $x"], tty=True, stdin=True)
        session = await pod.engine.attach(container_id, stdin=True)
        await session.resize(90, 30)
        await session.write(b"word\n")
        await wait_log(pod.engine, container_id, "got word")
        text = await log_text(pod.engine, container_id)
        assert "/dev/" in text
        assert "30 90" in text
        await session.close()

    with_pod(scenario)


# Images, events, the daemon.


def test_images_come_from_archives_and_can_be_removed(with_engine: WithEngine, tmp_path: Path) -> None:
    from node.engine.imagebuild import BUSYBOX, ImageConfig, busybox_root, write_archive

    async def scenario(engine: Engine) -> None:
        config = ImageConfig(cmd=["true"], user="nobody")
        files = busybox_root(BUSYBOX.read_bytes(), ["true"])
        archive = write_archive(tmp_path / "other.tar", "test/other:2", files, config)
        assert await engine.load_image(str(archive)) == ["test/other:2"]
        info = await engine.image_status("test/other:2")
        assert info is not None
        assert info.id.startswith("sha256:")
        assert info.tags == ["test/other:2"]
        assert info.user == "nobody"
        assert info.size_bytes > 1_000_000
        assert await engine.image_status(info.id) == info
        assert "test/other:2" in [tag for each in await engine.list_images() for tag in each.tags]
        await engine.remove_image("test/other:2")
        await engine.remove_image("test/other:2")
        assert await engine.image_status("test/other:2") is None

    with_engine(scenario)


def test_an_image_that_cannot_be_pulled_says_so(with_engine: WithEngine) -> None:
    async def scenario(engine: Engine) -> None:
        with pytest.raises(ImagePullError):
            await engine.pull_image("127.0.0.1:1/no/such:image")

    with_engine(scenario)


def test_events_tell_to_look_again(with_pod: WithPod) -> None:
    async def scenario(pod: Pod) -> None:
        kinds: list[tuple[str, str]] = []
        events = pod.engine.events()

        async def listen() -> None:
            async for event in events:
                kinds.append((event.kind, event.container_id))

        task = asyncio.create_task(listen())

        async def heard(kind: str) -> bool:
            return (kind, container_id) in kinds

        container_id = ""

        async def connected() -> bool:
            return bool(kinds)

        await until(connected, "a connection")
        while True:  # the stream may open a moment after it was announced
            container_id = await pod.run(["true"])
            await wait_ended(pod.engine, container_id)
            try:
                async with asyncio.timeout(1):
                    await until(lambda: heard("exited"))
                break
            except TimeoutError:
                continue
        task.cancel()

    with_pod(scenario)


def test_the_version_names_the_engine(with_engine: WithEngine) -> None:
    async def scenario(engine: Engine) -> None:
        version = await engine.version()
        assert version.startswith(f"{engine.kind}://")
        assert all(isinstance(text, str) for text in engine.degradations)

    with_engine(scenario)


def test_a_daemon_that_is_not_there_is_unavailable(daemon: Daemon) -> None:
    async def scenario() -> None:
        engine = type(daemon.make_engine())(str(daemon.folder / "nobody.sock"))
        with pytest.raises(EngineUnavailable):
            await engine.version()
        with pytest.raises(EngineUnavailable):
            await engine.list_containers()
        await engine.close()

    asyncio.run(scenario())
