"""The typed client against real servers: failover, hanging servers, ambiguous writes."""

import asyncio
import time

import pytest
from aiohttp import web
from tiny_api import TinyServer, status, tiny_servers

from master.api.core.configmap import ConfigMap
from master.api.core.pod import Pod
from master.api.meta import ObjectMeta
from master.api.status import AlreadyExists, Conflict, InternalError, NotFound, OutcomeUnknown, ServiceUnavailable
from master.client.config import ClientConfig
from master.client.rest import RestClient, copy_object, object_key, split_key


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


def client_of(servers: list[TinyServer], **options: float) -> RestClient:
    return RestClient(ClientConfig(servers=[server.url for server in servers]), user_agent="test", **options)


def test_objects_go_in_and_come_out_typed() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers:
            client = client_of(servers)
            created = await client.create(config_map("a", colour="red"))
            assert created.data == {"colour": "red"}
            assert created.metadata.uid
            created.data["colour"] = "blue"
            updated = await client.update(created)
            patched = await client.patch(ConfigMap, "a", "default", {"data": {"size": "9"}})
            assert patched.data == {"colour": "blue", "size": "9"}
            listed = await client.list(ConfigMap, "default")
            assert [item.metadata.name for item in listed.items] == ["a"]
            assert listed.items[0].kind == "ConfigMap"
            assert int(listed.resource_version) > int(updated.metadata.resource_version)
            with pytest.raises(Conflict):
                await client.update(updated)
            with pytest.raises(AlreadyExists):
                await client.create(config_map("a"))
            await client.delete(ConfigMap, "a", "default")
            with pytest.raises(NotFound):
                await client.get(ConfigMap, "a", "default")
            await client.close()

    asyncio.run(scenario())


def test_a_dead_server_is_passed_over_for_reads_and_writes() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers)
            await client.create(config_map("a"))
            await servers[0].stop()
            await client.create(config_map("b"))
            assert (await client.get(ConfigMap, "b", "default")).metadata.name == "b"
            before = len(servers[1].requests)
            await client.get(ConfigMap, "a", "default")
            assert len(servers[1].requests) == before + 1  # it sticks to the one that works
            await client.close()

    asyncio.run(scenario())


def test_a_hanging_server_costs_one_timeout_and_then_nobody_asks_it_first() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers, request_timeout_s=0.3)
            await client.create(config_map("a"))
            servers[0].hang()
            began = time.monotonic()
            await client.get(ConfigMap, "a", "default")
            assert time.monotonic() - began < 2
            asked = len(servers[0].requests)
            for _ in range(5):
                await client.get(ConfigMap, "a", "default")
            assert len(servers[0].requests) == asked
            await client.close()

    asyncio.run(scenario())


def test_a_write_whose_answer_is_lost_has_an_unknown_outcome_and_is_not_repeated() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers)
            servers[0].lose_answers = True
            with pytest.raises(OutcomeUnknown):
                await client.create(config_map("a"))
            assert not [request for request in servers[1].requests if request.startswith("POST")]
            assert (await client.get(ConfigMap, "a", "default")).metadata.name == "a"
            await client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_lost_answer_is_not_hidden_by_a_repetition_below_us(method: str) -> None:
    """HTTP calls PUT and DELETE idempotent; with conditions they are not, and the second answer misleads."""

    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers)
            created = await client.create(config_map("a"))
            servers[0].lose_answers = True
            with pytest.raises(OutcomeUnknown):
                if method == "PUT":
                    await client.update(created)
                elif method == "PATCH":
                    await client.patch(ConfigMap, "a", "default", {"data": {"size": "9"}})
                else:
                    await client.delete(ConfigMap, "a", "default")
            asked = [request for server in servers for request in server.requests if request.startswith(method)]
            assert len(asked) == 1
            await client.close()

    asyncio.run(scenario())


def test_a_read_whose_answer_is_lost_is_put_to_another_server() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers)
            await client.create(config_map("a"))
            servers[0].lose_answers = True
            assert (await client.get(ConfigMap, "a", "default")).metadata.name == "a"
            await client.close()

    asyncio.run(scenario())


def test_a_command_whose_websocket_breaks_off_before_it_opens_is_not_sent_to_another_server() -> None:
    """The first server may have had it begun already: it must not run twice."""

    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers)
            servers[0].lose_answers = True
            with pytest.raises(OutcomeUnknown):
                await client.streams.websocket("/api/v1/namespaces/default/pods/a/exec")
            assert [len(server.requests) for server in servers] == [1, 0]
            await servers[0].stop()
            with pytest.raises(NotFound):
                await client.streams.websocket("/api/v1/namespaces/default/pods/a/exec")
            assert servers[1].requests
            await client.close()

    asyncio.run(scenario())


def test_a_server_that_breaks_a_write_off_without_a_status_leaves_its_outcome_unknown() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers)
            servers[0].refuse_with = web.Response(status=500, text="Internal Server Error")
            with pytest.raises(OutcomeUnknown):
                await client.create(config_map("a"))
            servers[0].refuse_with = status(500, "InternalError", "it says itself that it failed")
            with pytest.raises(InternalError):
                await client.create(config_map("a"))
            await client.close()

    asyncio.run(scenario())


def test_503_is_asked_elsewhere_and_504_of_a_write_is_an_unknown_outcome() -> None:
    async def scenario() -> None:
        async with tiny_servers(2) as servers:
            client = client_of(servers)
            servers[0].refuse_with = status(503, "ServiceUnavailable", "no leader")
            await client.create(config_map("a"))
            servers[1].refuse_with = status(504, "Timeout", "lost sight of it")
            with pytest.raises(OutcomeUnknown):
                await client.create(config_map("b"))
            await client.close()

    asyncio.run(scenario())


def test_without_any_server_the_failure_says_so_within_the_budget() -> None:
    async def scenario() -> None:
        client = RestClient(ClientConfig(servers=["http://127.0.0.1:1"]), user_agent="test")
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
            await client.get(ConfigMap, "a", "default")
        assert time.monotonic() - began < 8
        await client.close()

    asyncio.run(scenario())


def test_the_fence_goes_with_writes_only_and_an_old_one_is_refused() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers:
            epoch = 7
            new = RestClient(ClientConfig(servers=[servers[0].url]), user_agent="new", fence=lambda: f"role={epoch}")
            old = RestClient(ClientConfig(servers=[servers[0].url]), user_agent="old", fence=lambda: "role=6")
            await old.create(config_map("a"))
            await new.create(config_map("b"))
            with pytest.raises(Conflict):
                await old.create(config_map("c"))
            await old.get(ConfigMap, "a", "default")
            await old.with_options().create(config_map("d"))
            await new.close()
            await old.close()

    asyncio.run(scenario())


def test_binding_names_the_pod_by_uid() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers:
            client = client_of(servers)
            pod = await client.create(Pod(metadata=ObjectMeta(name="web", namespace="default")))
            await client.bind(pod, "node-1")
            assert (await client.get(Pod, "web", "default")).spec.node_name == "node-1"
            with pytest.raises(Conflict):
                await client.bind(pod, "node-2")
            await client.close()

    asyncio.run(scenario())


def test_keys_and_copies() -> None:
    pod = Pod(metadata=ObjectMeta(name="web", namespace="default", labels={"a": "b"}))
    assert object_key(pod) == "default/web"
    assert split_key("default/web") == ("default", "web")
    assert split_key("node-1") == ("", "node-1")
    copy = copy_object(pod)
    copy.metadata.labels["a"] = "c"
    assert pod.metadata.labels == {"a": "b"}
