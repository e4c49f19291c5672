"""Client and scheduler against the real API server, over TLS and with the scheduler's own certificate."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import ADMIN, Caller, ServerThread, config_for, free_port, until
from apiserver_memory_store import MemoryStore
from scheduling_fixtures import node, pod
from tiny_api import eventually

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.status import Conflict, Invalid, NotFound
from master.client.config import ClientConfig
from master.client.informer import Informer
from master.client.rest import RestClient
from master.client.store import Delta
from master.scheduler import __main__ as process
from master.scheduler.config import LeaderElectionConfig, SchedulerConfig

FAST = LeaderElectionConfig(lease_duration_s=1.2, renew_deadline_s=0.6, retry_period_s=0.1)


class Stage:
    """A running server and the ways to talk to it."""

    def __init__(self, server: ServerThread, authority: TestAuthority) -> None:
        self._url = f"https://127.0.0.1:{server.config.port}"
        self._authority = authority

    def config(self, user: str, *groups: str) -> ClientConfig:
        certificate, key = self._authority.issue(user, groups)
        return ClientConfig(servers=[self._url], ca_file=self._authority.ca_file, cert_file=certificate, key_file=key)

    def admin(self) -> RestClient:
        return RestClient(self.config(ADMIN, "system:masters"), user_agent="test")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    authority = TestAuthority(Path(tmp_path_factory.mktemp("certificates")))
    server = ServerThread(config_for(authority, free_port(), []), MemoryStore())
    server.start()
    anonymous = Caller(server.config.port, authority, None)

    def ready() -> bool:
        try:
            return anonymous.get("/readyz").code == 200
        except OSError:
            return False

    try:
        until(ready, "readiness")
        yield Stage(server, authority)
    finally:
        server.stop()


def runnable(name: str, cpu: str = "100m", owner: str = "") -> Pod:
    wanted = pod(name, cpu=cpu, owner=owner)
    wanted.metadata.uid = ""
    wanted.spec.containers[0].image = "img"
    return wanted


def test_the_scheduler_binds_spreads_explains_and_is_woken(stage: Stage) -> None:
    async def scenario() -> None:
        admin = stage.admin()
        config = SchedulerConfig(name="m", client=stage.config("system:kube-scheduler"), leader_election=FAST)
        task = asyncio.create_task(process.run(config))
        pods = Informer(admin, Pod, namespace="default")
        watching = asyncio.create_task(pods.run())

        def nodes_of(*names: str) -> list[str]:
            found = [pods.get(f"default/{name}") for name in names]
            return [each.spec.node_name if each else "" for each in found]

        def message(name: str) -> str:
            found = pods.get(f"default/{name}")
            conditions = found.status.conditions if found else []
            return next((each.message for each in conditions if each.type == "PodScheduled"), "")

        try:
            for name in ("a", "b", "c"):
                created = await admin.create(node(name, cpu="1"))
                created.status = node(name, cpu="1").status
                await admin.update(created, subresource="status")
            names = [f"web-{number}" for number in range(3)]
            for name in names:
                await admin.create(runnable(name, owner="rs"))
            await eventually(lambda: sorted(nodes_of(*names)) == ["a", "b", "c"], within_s=15)
            await admin.create(runnable("big", cpu="950m"))
            await eventually(lambda: message("big") == "0/3 nodes are available: 3 Insufficient cpu.")
            await admin.delete(Pod, "web-1", "default", grace_period_s=0)
            await eventually(lambda: nodes_of("big") != [""])
            with pytest.raises(Conflict):
                await admin.bind(await admin.get(Pod, "big", "default"), "c")
        finally:
            for each in (task, watching):
                each.cancel()
            await asyncio.gather(task, watching, return_exceptions=True)
            await admin.close()

    asyncio.run(scenario())


def test_the_informer_mirrors_the_real_server_through_many_changes(stage: Stage) -> None:
    async def scenario() -> None:
        admin, rng = stage.admin(), random.Random(7)
        informer = Informer(admin, Node, label_selector="mirror=yes")
        told: dict[str, str] = {}

        def note(delta: Delta[Node]) -> None:
            name = delta.object.metadata.name
            if delta.type == "DELETED":
                del told[name]
            else:
                told[name] = delta.object.metadata.resource_version

        informer.add_handler(note)
        task = asyncio.create_task(informer.run())
        try:
            await informer.wait_synced(10)
            for _ in range(60):
                name = f"mirror-{rng.randrange(6)}"
                try:
                    mark = {"metadata": {"labels": {"mirror": rng.choice(["yes", "no"]), "n": str(rng.random())}}}
                    await admin.patch(Node, name, "", mark)
                    if rng.random() < 0.3:
                        await admin.delete(Node, name)
                except NotFound:
                    await admin.create(node(name, mirror="yes"))
            listed = await admin.list(Node, label_selector="mirror=yes")
            expected = {each.metadata.name: each.metadata.resource_version for each in listed.items}
            await eventually(lambda: told == expected)
            assert {each.metadata.name for each in informer.list()} == expected.keys()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await admin.close()

    asyncio.run(scenario())


def test_a_bad_object_is_refused_with_its_fields(stage: Stage) -> None:
    async def scenario() -> None:
        admin = stage.admin()
        with pytest.raises(Invalid, match=r"spec\.containers\[0\]\.image"):
            wanted = runnable("no-image")
            wanted.spec.containers[0].image = ""
            await admin.create(wanted)
        await admin.close()

    asyncio.run(scenario())
