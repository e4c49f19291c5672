"""A scheduler and kubelets made of API calls: pods get a node, an address, and run; deleted pods end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from master.api.coordination.lease import Lease, LeaseSpec
from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.meta import ObjectMeta
from master.api.status import AlreadyExists, ApiError, Conflict, NotFound
from master.api.timestamps import micro_rfc3339, now_rfc3339
from master.client.informer import Informer
from master.client.rest import RestClient

TURN_S = 0.05
RENEW_S = 0.3


class FakeNodes:
    """Some nodes, all in this process. `silence(name)` makes one fall silent as by a power cut."""

    def __init__(self, client: RestClient, names: list[str], namespace: str) -> None:
        self.client = client
        self.names = names
        self.namespace = namespace
        self.silent: set[str] = set()
        self.may_run: Callable[[Pod], bool] = lambda pod: True
        self._pods = Informer(client, Pod, namespace=namespace)
        self._next = 0

    def silence(self, name: str) -> None:
        self.silent.add(name)

    async def register(self) -> None:
        for name in self.names:
            with suppress(AlreadyExists):
                await self.client.create(Node(metadata=ObjectMeta(name=name)))
            await self._renew(name)
            await self._report(name)

    async def unregister(self) -> None:
        for name in self.names:
            with suppress(ApiError):
                await self.client.delete(Node, name)
            with suppress(ApiError):
                await self.client.delete(Lease, name, "kube-node-lease")

    async def _report(self, name: str) -> None:
        now = now_rfc3339(time.time())
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}
        status = {"conditions": [condition], "allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"}}
        await self.client.patch(Node, name, "", {"status": status}, patch_type="strategic", subresource="status")

    async def _renew(self, name: str) -> None:
        spec = LeaseSpec(holder_identity=name, lease_duration_seconds=40, renew_time=micro_rfc3339(time.time()))
        try:
            lease = await self.client.get(Lease, name, "kube-node-lease")
            lease.spec = spec
            await self.client.update(lease)
        except NotFound:
            await self.client.create(Lease(metadata=ObjectMeta(name=name, namespace="kube-node-lease"), spec=spec))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pods.run())
            tasks.create_task(self._renew_all())
            tasks.create_task(self._serve_pods())

    async def _renew_all(self) -> None:
        while True:
            for name in self.names:
                if name not in self.silent:
                    with suppress(ApiError):
                        await self._renew(name)
            await asyncio.sleep(RENEW_S)

    async def _serve_pods(self) -> None:
        await self._pods.wait_synced(10)
        while True:
            for pod in self._pods.list():
                with suppress(NotFound, Conflict):
                    await self._serve(pod)
            await asyncio.sleep(TURN_S)

    async def _serve(self, pod: Pod) -> None:
        meta = pod.metadata
        if not pod.spec.node_name:
            live = [name for name in self.names if name not in self.silent]
            self._next += 1
            await self.client.bind(pod, live[self._next % len(live)])
        elif pod.spec.node_name in self.silent:
            return
        elif meta.deletion_timestamp is not None:
            await self.client.delete(Pod, meta.name, meta.namespace, uid=meta.uid, grace_period_s=0)
        elif pod.status.phase == "Pending" and self.may_run(pod):
            now = now_rfc3339(time.time())
            ip = f"10.91.{abs(hash(meta.uid)) % 250}.{abs(hash(meta.name)) % 250}"
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]}
            patch = {"metadata": {"uid": meta.uid}, "status": status}
            await self.client.patch(Pod, meta.name, meta.namespace, patch, patch_type="strategic", subresource="status")


@asynccontextmanager
async def fake_nodes(client: RestClient, names: list[str], namespace: str) -> AsyncIterator[FakeNodes]:
    nodes = FakeNodes(client, names, namespace)
    await nodes.register()
    work = asyncio.ensure_future(nodes.run())
    try:
        yield nodes
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await nodes.unregister()
