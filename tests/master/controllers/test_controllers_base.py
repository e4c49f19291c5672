"""The shape all controllers share: retries, the gate, creation exactly once."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from controllers_objects import pod

from master.api.core.pod import Pod
from master.api.meta import Object
from master.api.status import AlreadyExists, Conflict, OutcomeUnknown, ServiceUnavailable
from master.client.informer import Informer
from master.controllers.base import Context, Controller, Watch
from master.controllers.env import Env
from master.controllers.gate import Gate
from master.controllers.informers import Informers


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeClient:
    """Answers creates as scripted; None: it is done."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.created: list[Object] = []
        self.delete_fails: Exception | None = None

    async def create(self, obj: Any) -> Any:
        outcome = self.script.pop(0)
        if outcome is not None:
            raise outcome
        self.created.append(obj)
        return obj

    async def get(self, kind: type, name: str, namespace: str) -> Any:
        return pod(name)

    async def delete(self, *_: Any, **__: Any) -> None:
        if self.delete_fails is not None:
            raise self.delete_fails


class Recorder(Controller):
    """Reconciles by a script of outcomes."""

    name = "recorder"

    def __init__(self, context: Context, outcomes: Sequence[Exception | float | None] = ()) -> None:
        super().__init__(context)
        self.outcomes = list(outcomes)
        self.seen: list[str] = []
        self._gate = Gate([])

    def watches(self) -> Sequence[Watch]:
        return ()

    async def reconcile(self, key: str) -> float | None:
        self.seen.append(key)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def context(client: Any = None, clock: Clock | None = None) -> Context:
    env = Env(clock=clock or Clock(), wall_clock=Clock(), rng=random.Random(1))
    return Context(client, Informers(client), None, env)  # type: ignore[arg-type]


async def turn(controller: Controller) -> None:
    async with asyncio.timeout(5):
        key = await controller.queue.get()
    await controller._handle(key)
    controller.queue.done(key)


@pytest.mark.parametrize("error", [Conflict("x"), ServiceUnavailable("x"), ZeroDivisionError("a defect")])
def test_whatever_goes_wrong_the_key_comes_again_and_later_each_time(error: Exception) -> None:
    async def body() -> None:
        clock = Clock()
        controller = Recorder(context(clock=clock), [error, error, error, None])
        controller.queue.add("a")
        waits_s = []
        for _ in range(3):
            await turn(controller)
            waits_s.append(controller.queue._core.next_due_s() - clock())  # type: ignore[operator]
            clock.now_s += 60
        await turn(controller)
        assert controller.seen == ["a"] * 4
        assert 0 < waits_s[0] < waits_s[2]
        assert controller.queue._core.next_due_s() is None
        assert controller.counters.reconciled == 4

    asyncio.run(body())


def test_a_create_of_unknown_outcome_is_repeated_under_its_own_name() -> None:
    async def body() -> None:
        again = FakeClient(OutcomeUnknown("lost"), None)
        await Recorder(context(again)).create("k", pod("a"))
        assert [obj.metadata.name for obj in again.created] == ["a"]
        done_after_all = FakeClient(OutcomeUnknown("lost"), AlreadyExists("a"))
        assert (await Recorder(context(done_after_all)).create("k", pod("a"))).metadata.name == "a"
        never = FakeClient(*[OutcomeUnknown("lost")] * 9)
        with pytest.raises(OutcomeUnknown):
            await Recorder(context(never)).create("k", pod("a"))

    asyncio.run(body())


def test_a_name_that_somebody_else_has_is_an_error() -> None:
    async def body() -> None:
        foreign = pod("a")
        foreign.metadata.owner_references = [Informers.__doc__]  # type: ignore[list-item]
        with pytest.raises(AlreadyExists):
            await Recorder(context(FakeClient(AlreadyExists("a")))).create("k", foreign)

    asyncio.run(body())


def test_the_gate_waits_for_own_writes_and_for_own_deletions() -> None:
    async def body() -> None:
        informer: Informer[Pod] = Informer(None, Pod)  # type: ignore[arg-type]
        gate = Gate([informer])
        written = pod("a")
        written.metadata.resource_version = "7"
        gate.wrote("k", written)
        assert not gate.is_open("k") and gate.is_open("other")
        informer._store.put(written)
        informer.resource_version = "7"
        assert gate.is_open("k")
        gate.deleted("k", written)
        assert not gate.is_open("k")
        informer._store.put(pod("a", deleted=True))
        assert gate.is_open("k")

    asyncio.run(body())


def test_a_refused_deletion_is_tried_again_and_does_not_close_the_gate() -> None:
    """The server also says Conflict when too many write the object at once: then it is still there."""

    async def body() -> None:
        client = FakeClient()
        controller = Recorder(context(client))
        informer: Informer[Pod] = Informer(None, Pod)  # type: ignore[arg-type]
        controller._gate = Gate([informer])
        doomed = pod("a")
        informer._store.put(doomed)
        client.delete_fails = Conflict("busy")
        with pytest.raises(Conflict):
            await controller.delete("k", doomed)
        assert controller.gate.is_open("k")
        replaced = pod("a")
        replaced.metadata.uid = "before"
        await controller.delete("k", replaced)

    asyncio.run(body())
