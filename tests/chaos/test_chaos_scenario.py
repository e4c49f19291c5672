"""The node-kill scenario played on a small stage: a real cgroup and cable, a real HTTP server, a pretended API."""

import asyncio
import json
import time
from typing import Any

from chaos_lab import LabFabric

from chaos import cgroups
from chaos.report import to_json, to_text
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.kill_node_under_load import Options, _Play
from chaos.scenarios.workload import WorkloadSpec
from master.api.core.pod import Pod, PodSpec


class Stage:
    """What the scenario reads of a cluster: all of it follows from whether the victim's processes live.

    `lag_s` is how long the cluster takes to notice."""

    def __init__(self, fabric: LabFabric, port: int, lag_s: float = 0.2, *, replaces: bool = True) -> None:
        self.fabric, self.port, self.lag_s, self.replaces = fabric, port, lag_s, replaces
        self.pods = _Pods(self)
        self.dead_since: float | None = None

    def believed_alive(self, node: str) -> bool:
        if cgroups.pids(self.fabric.host(node).cgroup):
            self.dead_since = None if node == "n1" else self.dead_since
            return True
        self.dead_since = self.dead_since or time.monotonic()
        return time.monotonic() - self.dead_since < self.lag_s

    is_node_ready = believed_alive
    has_ready_endpoint_on = believed_alive

    def ready_nodes(self) -> list[str]:
        return [n for n in ("n1", "n2") if self.is_node_ready(n)]

    def ready_pods(self) -> list[Pod]:
        other = "n1" if self.believed_alive("n1") else "n2"
        count = 2 if self.believed_alive("n1") or self.replaces else 1
        return [Pod(spec=PodSpec(node_name=node)) for node in ("n2", other)[:count]]

    def pods_on(self, node: str) -> list[Pod]:
        return [p for p in self.ready_pods() if p.spec.node_name == node]

    def ready_endpoints(self) -> int:
        return 2

    def node_address(self, _: str) -> str:
        return "127.0.0.1"

    async def node_port(self) -> int:
        return self.port


class _Pods:
    """The informer's place."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def list(self) -> list[Pod]:
        return self._stage.ready_pods()


async def play(fabric: LabFabric, *, fail_after_s: float = 0.0, **stage_options: Any) -> Any:
    fabric.start("n1")
    fabric.start("n2")
    started = time.monotonic()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        broken = fail_after_s and time.monotonic() - started > fail_after_s
        writer.write(b"HTTP/1.1 500 Oh\r\n\r\n" if broken else b"HTTP/1.1 200 OK\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    stage = Stage(fabric, server.sockets[0].getsockname()[1], **stage_options)
    options = Options(workload=WorkloadSpec(replicas=2), baseline_s=0.3, settle_s=0.3)
    lines: list[str] = []
    try:
        return await _Play(fabric, stage, options, lines.append).run()  # type: ignore[arg-type]
    finally:
        server.close()
        assert any("cutting the power of n1" in line for line in lines)


def test_a_cluster_that_recovers_passes_and_the_node_is_back(fabric: LabFabric) -> None:
    verdict = asyncio.run(play(fabric))
    assert verdict.passed, to_text(verdict)
    assert fabric.starts == ["n1", "n2", "n1"]
    assert json.loads(to_json(verdict))["load"]["failed"] == 0
    by_name = {m.name: m.value for m in verdict.measurements}
    assert 0.2 <= by_name["endpoints clean"] < 2


def test_a_cluster_that_does_not_replace_pods_fails_and_is_healed_all_the_same(
    fabric: LabFabric, monkeypatch: Any
) -> None:
    monkeypatch.setattr("chaos.scenarios.kill_node_under_load.RECOVERY_TIMEOUT_S", 0.6)
    verdict = asyncio.run(play(fabric, replaces=False))
    assert not verdict.passed and "replacements Ready: never" in to_text(verdict)
    assert fabric.starts[-1] == "n1"


def test_requests_that_fail_after_recovery_fail_the_scenario(fabric: LabFabric, monkeypatch: Any) -> None:
    monkeypatch.setattr("chaos.scenarios.kill_node_under_load.PROXY_GRACE_S", 0.0)
    verdict = asyncio.run(play(fabric, fail_after_s=0.4))
    assert not verdict.passed and "after the endpoints were clean" in to_text(verdict)


def test_scenarios_are_found_by_their_names() -> None:
    assert "kill-node-under-load" in SCENARIOS
    assert all(name == scenario.name and scenario.summary for name, scenario in SCENARIOS.items())
