"""Events: recorded without blocking, repeated ones counted."""

import asyncio

from tiny_api import eventually, tiny_servers

from master.api.core.pod import Pod
from master.api.meta import ObjectMeta
from master.client import events
from master.client.config import ClientConfig
from master.client.events import EventRecorder
from master.client.rest import RestClient

POD = Pod(metadata=ObjectMeta(name="web", namespace="shop", uid="u1"))
PREFIX = "/api/v1/namespaces/shop/events/"


def test_repeats_raise_the_count_of_one_event_even_after_it_expired() -> None:
    async def scenario() -> None:
        async with tiny_servers() as servers:
            client = RestClient(ClientConfig(servers=[servers[0].url]), user_agent="test")
            recorder = EventRecorder(client, "scheduler", host="master-1", wall_clock=lambda: 0.0)
            recorder.event(POD, "Warning", "FailedScheduling", "no node")
            recorder.event(POD, "Warning", "FailedScheduling", "no node")
            recorder.event(POD, "Normal", "Scheduled", "on node-1")
            task = asyncio.create_task(recorder.run())
            stored = servers[0].store.objects

            def counts() -> dict[str, int]:
                return {obj["reason"]: obj["count"] for path, obj in stored.items() if path.startswith(PREFIX)}

            await eventually(lambda: counts() == {"FailedScheduling": 2, "Scheduled": 1})
            recorder.event(POD, "Warning", "FailedScheduling", "no node")
            await eventually(lambda: counts()["FailedScheduling"] == 3)
            stored.clear()
            recorder.event(POD, "Normal", "Scheduled", "on node-1")
            await eventually(lambda: counts() == {"Scheduled": 1})
            event = next(iter(stored.values()))
            assert event["involvedObject"]["name"] == "web"
            assert event["involvedObject"]["kind"] == "Pod"
            assert event["source"] == {"component": "scheduler", "host": "master-1"}
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()

    asyncio.run(scenario())


def test_what_waits_is_bounded_and_the_rest_is_counted() -> None:
    async def scenario() -> None:
        client = RestClient(ClientConfig(servers=["http://127.0.0.1:1"]), user_agent="test")
        recorder = EventRecorder(client, "scheduler")
        for number in range(events.MAX_PENDING + 5):
            recorder.event(POD, "Normal", "Scheduled", f"message {number}")
        assert recorder.dropped == 5

    asyncio.run(scenario())
