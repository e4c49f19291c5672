"""The scheduling loop against an API server: pods get nodes, pending ones say why and are woken by what helps."""

import asyncio
from typing import Any

from scheduling_fixtures import node, pod
from tiny_api import TinyServer, eventually, tiny_servers

from master.api.core.node import Node, Taint
from master.api.core.pod import Pod, PodSchedulingGate
from master.client.config import ClientConfig
from master.client.rest import RestClient
from master.scheduler import __main__ as process
from master.scheduler.config import LeaderElectionConfig, SchedulerConfig

FAST = LeaderElectionConfig(lease_duration_s=1.2, renew_deadline_s=0.6, retry_period_s=0.1)


class Scene:
    """Servers, a user's client, and any number of scheduler processes (as tasks)."""

    def __init__(self, servers: list[TinyServer]) -> None:
        self.servers = servers
        self.objects = servers[0].store.objects
        self.config = ClientConfig(servers=[server.url for server in servers])
        self.user = RestClient(self.config, user_agent="user")
        self.tasks: list[asyncio.Task[None]] = []

    def start_scheduler(self) -> asyncio.Task[None]:
        config = SchedulerConfig(name=f"s{len(self.tasks)}", client=self.config, leader_election=FAST)
        self.tasks.append(asyncio.create_task(process.run(config)))
        return self.tasks[-1]

    async def stop(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def __aenter__(self) -> "Scene":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            await self.stop(task)
        await self.user.close()

    async def create(self, *objects: Node | Pod) -> None:
        for obj in objects:
            await self.user.create(obj)

    def tree(self, name: str) -> dict[str, Any]:
        return self.objects[f"/api/v1/namespaces/default/pods/{name}"]

    def nodes_of(self, *names: str) -> list[str]:
        return [self.tree(name)["spec"].get("nodeName", "") for name in names]

    def reason(self, name: str) -> str:
        conditions = self.tree(name).get("status", {}).get("conditions", [])
        return next((each["message"] for each in conditions if each["type"] == "PodScheduled"), "")

    def event_reasons(self, name: str) -> set[str]:
        events = [obj for path, obj in self.objects.items() if "/events/" in path]
        return {each["reason"] for each in events if each["involvedObject"]["name"] == name}


def test_replicas_are_spread_and_events_tell_of_it() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers, Scene(servers) as scene:
            scene.start_scheduler()
            await scene.create(node("a"), node("b"), node("c"))
            await scene.create(*(pod(f"web-{number}", cpu="100m", owner="rs") for number in range(3)))
            names = [f"web-{number}" for number in range(3)]
            await eventually(lambda: sorted(scene.nodes_of(*names)) == ["a", "b", "c"], within_s=10)
            await eventually(lambda: scene.event_reasons("web-0") == {"Scheduled"})

    asyncio.run(scenario())


def test_a_pending_pod_says_why_and_is_placed_when_a_pod_goes_or_a_taint_is_removed() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers, Scene(servers) as scene:
            scene.start_scheduler()
            tainted = node("b", taints=(Taint(key="k", effect="NoSchedule"),))
            await scene.create(node("a", cpu="1"), tainted, pod("big", cpu="800m"))
            await eventually(lambda: scene.nodes_of("big") == ["a"], within_s=10)
            await scene.create(pod("late", cpu="500m"))
            expected = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: }."
            await eventually(lambda: scene.reason("late") == expected)
            await eventually(lambda: "FailedScheduling" in scene.event_reasons("late"))
            await scene.user.delete(Pod, "big", "default")
            await eventually(lambda: scene.nodes_of("late") == ["a"])
            await scene.create(pod("later", cpu="700m"))
            await eventually(lambda: scene.reason("later") == expected)
            await scene.user.patch(Node, "b", "", {"spec": {"taints": None}})
            await eventually(lambda: scene.nodes_of("later") == ["b"])

    asyncio.run(scenario())


def test_foreign_gated_and_deleted_pods_are_left_alone() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers, Scene(servers) as scene:
            gated = pod("gated", scheduling_gates=[PodSchedulingGate(name="wait")])
            await scene.create(pod("foreign", scheduler_name="other"), gated, node("a"))
            scene.start_scheduler()
            await scene.create(pod("ours", scheduler_name="default-scheduler"))
            await eventually(lambda: scene.nodes_of("ours") == ["a"], within_s=10)
            assert scene.nodes_of("foreign", "gated") == ["", ""]
            await scene.user.patch(Pod, "gated", "default", {"spec": {"schedulingGates": None}})
            await eventually(lambda: scene.nodes_of("gated") == ["a"])

    asyncio.run(scenario())


def test_another_scheduler_takes_over_and_binds_what_is_left() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers, Scene(servers) as scene:
            first = scene.start_scheduler()
            await scene.create(node("a"), pod("one"))
            await eventually(lambda: scene.nodes_of("one") == ["a"], within_s=10)
            await scene.stop(first)
            await scene.create(pod("two"))
            scene.start_scheduler()
            await eventually(lambda: scene.nodes_of("two") == ["a"], within_s=10)

    asyncio.run(scenario())


def test_bindings_without_an_answer_are_settled_without_binding_twice() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers, Scene(servers) as scene:
            await scene.create(node("a"), node("b"))
            scene.start_scheduler()
            await scene.create(pod("first"))
            await eventually(lambda: scene.nodes_of("first") != [""], within_s=10)
            await scene.create(pod("second"))
            servers[0].lose_answers = True
            await eventually(lambda: scene.nodes_of("second") != [""], within_s=10)
            servers[0].lose_answers = False
            await scene.create(*(pod(f"more-{number}") for number in range(8)))
            names = [f"more-{number}" for number in range(8)]
            await eventually(lambda: all(scene.nodes_of(*names)), within_s=20)
            bindings = [each for each in servers[0].requests if each.endswith("more-0/binding")]
            assert len(bindings) == 1

    asyncio.run(scenario())


def test_the_configuration_file_is_read(tmp_path: Any) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text('{"name":"master-1","client":{"servers":["https://10.0.0.1:6443"],"ca_file":"/ca"}}')
    config = SchedulerConfig.load(str(path))
    assert config.client.servers == ["https://10.0.0.1:6443"]
    assert config.leader_election.lease_duration_s == 5.0
