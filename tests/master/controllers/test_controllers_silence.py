"""When a node counts as silent: by our own clock, whatever the caches show."""

import asyncio
import random
from typing import Any

from controllers_objects import node

from master.api.coordination.lease import Lease, LeaseSpec
from master.api.core.node import Node
from master.api.meta import ObjectMeta
from master.controllers.base import Context
from master.controllers.env import Env
from master.controllers.gate import Gate
from master.controllers.informers import Informers
from master.controllers.nodehealth import ready_status
from master.controllers.nodelifecycle import LEASE_NAMESPACE, NodeLifecycleController

GRACE_S = 8.0


class FakeApi:
    """The lease as the API has it, and what is written about the node."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.written: list[Node] = []

    async def get(self, *_: Any) -> Lease:
        return self.lease

    async def update(self, obj: Node, **_: Any) -> Node:
        self.written.append(obj)
        return obj

    async def patch(self, *_: Any, **__: Any) -> Node:
        return self.written[-1]


class Quiet:
    def event(self, *_: Any) -> None:
        return


def lease(version: int) -> Lease:
    meta = ObjectMeta(name="n", namespace=LEASE_NAMESPACE, resource_version=str(version))
    return Lease(metadata=meta, spec=LeaseSpec(renew_time=f"renewal-{version}"))


def test_a_node_that_died_is_given_up_although_the_watch_of_its_lease_hangs() -> None:
    async def body() -> None:
        now_s = [100.0]
        api = FakeApi(lease(2))
        informers = Informers(api)  # type: ignore[arg-type]
        env = Env(clock=lambda: now_s[0], rng=random.Random(1))
        controller = NodeLifecycleController(
            Context(api, informers, Quiet(), env),  # type: ignore[arg-type]
            grace_s=GRACE_S,
        )
        controller._gate = Gate([])
        informers.of(Node)._store.put(node("n"))
        informers.of(Node)._store.put(node("other"))
        informers.of(Lease)._store.put(lease(1))
        waited_s: list[float] = []
        while not api.written and len(waited_s) < 5:
            again_s = await controller.reconcile("n")
            waited_s.append(again_s or 0.0)
            now_s[0] += again_s or 0.0
        assert [ready_status(written) for written in api.written] == ["Unknown"]
        assert sum(waited_s[:-1]) == 2 * GRACE_S

    asyncio.run(body())
