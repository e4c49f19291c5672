"""The informer converges on the store, whatever happens to watches and servers."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from tiny_api import TinyServer, eventually, tiny_servers

from master.api.core.configmap import ConfigMap
from master.api.meta import ObjectMeta
from master.client import streams
from master.client.config import ClientConfig
from master.client.informer import Informer
from master.client.rest import RestClient, object_key
from master.client.store import Delta, ObjectStore

STATES = st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(1, 2), st.integers(1, 9)), max_size=3)


def config_map(name: str, uid: int = 0, version: int = 0, **data: str) -> ConfigMap:
    meta = ObjectMeta(name=name, namespace="default", uid=str(uid or ""), resource_version=str(version or ""))
    return ConfigMap(metadata=meta, data=data)


class Mirror:
    """A handler that rebuilds the state from the deltas alone, and checks that each delta fits the last state."""

    def __init__(self) -> None:
        self.objects: dict[str, ConfigMap] = {}

    def __call__(self, delta: Delta[ConfigMap]) -> None:
        key = object_key(delta.object)
        assert delta.old is self.objects.get(key)
        assert (delta.type == "ADDED") == (delta.old is None)
        if delta.type == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = delta.object


@given(st.lists(STATES, max_size=6))
def test_deltas_of_any_sequence_of_lists_rebuild_the_state(states: list[dict[str, tuple[int, int]]]) -> None:
    store: ObjectStore[ConfigMap] = ObjectStore()
    store.add_index("uid", lambda obj: [obj.metadata.uid])
    mirror = Mirror()
    for state in states:
        for delta in store.replace([config_map(name, uid, version) for name, (uid, version) in state.items()]):
            mirror(delta)
        held = {obj.metadata.name: (int(obj.metadata.uid), int(obj.metadata.resource_version)) for obj in store}
        assert held == state
        assert {obj.metadata.name: obj for obj in mirror.objects.values()} == {obj.metadata.name: obj for obj in store}
        for uid in (1, 2):
            expected = {name for name, (held_uid, _) in state.items() if held_uid == uid}
            assert {obj.metadata.name for obj in store.by_index("uid", str(uid))} == expected


class Scene:
    """Servers, a client, and a running informer with its mirror."""

    def __init__(self, servers: list[TinyServer]) -> None:
        self.servers = servers
        self.store = servers[0].store
        self.client = RestClient(
            ClientConfig(servers=[server.url for server in servers]), user_agent="test", request_timeout_s=1.0
        )
        self.informer = Informer(self.client, ConfigMap)
        self.mirror = Mirror()
        self.informer.add_handler(self.mirror)
        self.task = asyncio.create_task(self.informer.run())

    async def __aenter__(self) -> "Scene":
        await self.informer.wait_synced(5)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.close()

    def names(self) -> set[str]:
        return {obj.metadata.name for obj in self.mirror.objects.values()}


def test_changes_arrive_and_are_found_by_key_namespace_and_index() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers, Scene(servers) as scene:
            scene.informer.add_index("colour", lambda obj: [obj.data.get("colour", "")])
            await scene.client.create(config_map("a", colour="red"))
            await scene.client.create(config_map("b", colour="blue"))
            await eventually(lambda: scene.names() == {"a", "b"})
            assert [obj.metadata.name for obj in scene.informer.by_index("colour", "red")] == ["a"]
            await scene.client.patch(ConfigMap, "a", "default", {"data": {"colour": "blue"}})
            await eventually(lambda: len(scene.informer.by_index("colour", "blue")) == 2)
            await scene.client.delete(ConfigMap, "b", "default")
            await eventually(lambda: scene.names() == {"a"})
            assert scene.informer.get("default/b") is None
            assert len(scene.informer.list("default")) == 1
            assert scene.informer.list("elsewhere") == []
            assert scene.informer.resource_version == str(scene.store.revision)

    asyncio.run(scenario())


def test_what_happens_while_no_server_answers_is_not_missed() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers, Scene(servers) as scene:
            await scene.client.create(config_map("a"))
            await eventually(lambda: scene.names() == {"a"})
            await servers[0].stop()
            other = RestClient(ClientConfig(servers=[servers[1].url]), user_agent="other")
            for name in "bcd":
                await other.create(config_map(name))
            await other.delete(ConfigMap, "a", "default")
            await eventually(lambda: scene.names() == {"b", "c", "d"})
            assert scene.informer.resource_version == str(scene.store.revision)
            await other.close()

    asyncio.run(scenario())


def test_a_version_that_was_compacted_away_leads_to_a_new_list_and_exact_deltas() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers, Scene(servers) as scene:
            await scene.client.create(config_map("a"))
            await scene.client.create(config_map("b"))
            await eventually(lambda: scene.names() == {"a", "b"})
            for server in servers:
                await server.stop()
            path = "/api/v1/namespaces/default/configmaps"
            await scene.store.commit("DELETED", f"{path}/a", None)
            fresh = {"metadata": {"name": "c", "namespace": "default", "uid": "x"}}
            await scene.store.commit("ADDED", f"{path}/c", fresh)
            scene.store.compact()
            await scene.store.commit("ADDED", f"{path}/d", {"metadata": {**fresh["metadata"], "name": "d"}})
            await servers[0].start(int(servers[0].url.rsplit(":", 1)[1]))
            await eventually(lambda: scene.names() == {"b", "c", "d"}, within_s=15)

    asyncio.run(scenario())


def test_a_watch_on_a_stopped_process_moves_to_another_server_within_seconds() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers, Scene(servers) as scene:
            await scene.client.create(config_map("a"))
            await eventually(lambda: scene.names() == {"a"})
            servers[0].hang()
            other = RestClient(ClientConfig(servers=[servers[1].url]), user_agent="other")
            await other.create(config_map("b"))
            bound_s = streams.PROBE_AFTER_S + streams.PROBE_TIMEOUT_S + 2
            await eventually(lambda: scene.names() == {"a", "b"}, within_s=bound_s)
            await other.close()

    asyncio.run(scenario())


def test_a_failing_handler_does_not_end_the_others() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers, Scene(servers) as scene:
            seen: list[str] = []

            def broken(delta: Delta[ConfigMap]) -> None:
                raise RuntimeError("defect")

            scene.informer.add_handler(broken)
            scene.informer.add_handler(lambda delta: seen.append(delta.object.metadata.name))
            await scene.client.create(config_map("a"))
            await eventually(lambda: seen == ["a"])

    asyncio.run(scenario())
