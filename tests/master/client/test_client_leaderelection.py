"""Leadership over a real lease: one at a time, handed over, fenced."""

import asyncio
import itertools
from contextlib import AsyncExitStack

import pytest
from tiny_api import TinyServer, eventually, tiny_servers

from master.api.coordination.lease import Lease, LeaseSpec
from master.api.core.configmap import ConfigMap
from master.api.meta import ObjectMeta
from master.api.status import Conflict
from master.client.config import ClientConfig
from master.client.leaderelection import LeaderElector, Observation, is_free
from master.client.rest import RestClient

FAST = {"lease_duration_s": 1.2, "renew_deadline_s": 0.6, "retry_period_s": 0.1}


class Contender:
    """A process that wants to lead, reduced to its elector."""

    def __init__(self, servers: list[TinyServer], identity: str, leading: list[str]) -> None:
        self.client = RestClient(
            ClientConfig(servers=[server.url for server in servers]),
            user_agent=identity,
            fence=lambda: self.elector.fence(),
        )
        self.elector = LeaderElector(self.client, name="captain", identity=identity, **FAST)
        self.leading = leading
        self.epochs: list[int] = []
        self.task = asyncio.create_task(self.elector.run(self.lead))

    async def lead(self, epoch: int) -> None:
        assert not self.leading, f"{self.leading} lead already"
        self.epochs.append(epoch)
        self.leading.append(self.elector._identity)
        try:
            await asyncio.Event().wait()
        finally:
            self.leading.remove(self.elector._identity)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.close()


async def contenders(stack: AsyncExitStack, servers: list[TinyServer], leading: list[str]) -> list[Contender]:
    found = [Contender(servers, name, leading) for name in ("a", "b", "c")]
    for contender in found:
        stack.push_async_callback(contender.stop)
    return found


def test_one_of_three_leads_and_each_successor_has_a_higher_epoch() -> None:
    async def scenario() -> None:
        leading: list[str] = []
        async with tiny_servers() as servers, AsyncExitStack() as stack:
            waiting = await contenders(stack, servers, leading)
            epochs = []
            while waiting:
                await eventually(lambda: len(leading) == 1)
                leader = next(each for each in waiting if each.elector.is_leader)
                epochs.append(leader.elector.epoch)
                waiting.remove(leader)
                await leader.stop()
            assert all(old < new for old, new in itertools.pairwise(epochs))

    asyncio.run(scenario())


def test_a_leader_cut_off_from_the_api_stops_before_another_starts() -> None:
    async def scenario() -> None:
        leading: list[str] = []
        async with tiny_servers(2) as servers, AsyncExitStack() as stack:
            cut_off = Contender(servers[:1], "cut-off", leading)
            stack.push_async_callback(cut_off.stop)
            await eventually(lambda: leading == ["cut-off"])
            successor = Contender(servers[1:], "successor", leading)
            stack.push_async_callback(successor.stop)
            servers[0].hang()
            # `lead` itself asserts that nobody else leads when it begins.
            await eventually(lambda: leading == ["successor"])
            assert not cut_off.elector.is_leader
            assert successor.epochs[0] > cut_off.epochs[0]

    asyncio.run(scenario())


def test_late_writes_of_a_deposed_leader_are_refused() -> None:
    async def scenario() -> None:
        leading: list[str] = []
        async with tiny_servers() as servers, AsyncExitStack() as stack:
            old = Contender(servers, "old", leading)
            await eventually(lambda: leading == ["old"])
            await old.client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default")))
            old.task.cancel()
            await asyncio.gather(old.task, return_exceptions=True)
            new = Contender(servers, "new", leading)
            stack.push_async_callback(new.stop)
            await eventually(lambda: leading == ["new"])
            with pytest.raises(Conflict):
                await old.client.create(ConfigMap(metadata=ObjectMeta(name="b", namespace="default")))
            await old.client.close()

    asyncio.run(scenario())


def test_leading_goes_on_while_one_server_after_another_dies() -> None:
    async def scenario() -> None:
        leading: list[str] = []
        async with tiny_servers(3) as servers, AsyncExitStack() as stack:
            contender = Contender(servers, "only", leading)
            stack.push_async_callback(contender.stop)
            await eventually(lambda: leading == ["only"])
            for server in servers[:2]:
                await server.stop()
                renewals = len(servers[2].requests)
                revision = servers[0].store.revision
                await eventually(lambda before=revision: servers[0].store.revision >= before + 3)
            assert len(servers[2].requests) > renewals
            assert contender.epochs == [contender.elector.epoch]

    asyncio.run(scenario())


def test_leadership_survives_the_deletion_of_its_lease_with_a_higher_epoch() -> None:
    async def scenario() -> None:
        leading: list[str] = []
        async with tiny_servers() as servers, AsyncExitStack() as stack:
            contender = Contender(servers, "only", leading)
            stack.push_async_callback(contender.stop)
            await eventually(lambda: leading == ["only"])
            await contender.client.with_options().delete(Lease, "captain", "kube-system")
            await eventually(lambda: len(contender.epochs) == 2)
            assert contender.epochs[0] < contender.epochs[1]

    asyncio.run(scenario())


def test_a_lease_is_free_when_released_or_unrenewed_for_its_duration_by_our_own_clock() -> None:
    held = Lease(spec=LeaseSpec(holder_identity="x", lease_duration_seconds=5))
    seen = Observation("1", seen_s=100.0)
    assert not is_free(held, seen, 104.9, "me")
    assert is_free(held, seen, 105.0, "me")
    assert is_free(Lease(spec=LeaseSpec(holder_identity="")), seen, 100.0, "me")
    assert is_free(held, seen, 100.0, "x")
