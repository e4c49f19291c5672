"""The node's heartbeat: a Lease renewed every few seconds by a task and a connection of its own.

Nothing else the kubelet does may delay it: a node that renews late is taken for dead and its pods are replaced.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from master.api.coordination.lease import Lease, LeaseSpec
from master.api.core.node import Node
from master.api.meta import ObjectMeta, OwnerReference
from master.api.status import AlreadyExists, ApiError, Conflict, NotFound
from master.api.timestamps import micro_rfc3339
from master.client.rest import RestClient

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
DURATION_FACTOR = 4
"""Of the renewal period (upstream: 40 s for 10 s)."""
RETRY_S = 0.5


class NodeLease:
    def __init__(
        self,
        client: RestClient,
        node_name: str,
        renew_s: float,
        own_node: Callable[[], Node | None],
        *,
        wall: Callable[[], float],
    ) -> None:
        # An answer that comes later than the next renewal is due is of no use.
        self._client = client.with_options(request_timeout_s=max(1.0, renew_s))
        self._node_name = node_name
        self._renew_s = renew_s
        self._own_node = own_node
        self._wall = wall
        self._lease: Lease | None = None

    async def run(self) -> None:
        while True:
            pause_s = self._renew_s
            try:
                await self.renew()
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("the node's lease was not renewed: %s", error)
                self._lease = None
                pause_s = min(RETRY_S, self._renew_s)
            await asyncio.sleep(pause_s)

    async def renew(self) -> None:
        if self._lease is None:
            self._lease = await self._fetch_or_create()
        before = self._lease
        lease = msgspec.structs.replace(before, metadata=self._owned(before.metadata), spec=self._spec(before.spec))
        try:
            self._lease = await self._client.update(lease)
        except (Conflict, NotFound):
            self._lease = None
            raise

    async def _fetch_or_create(self) -> Lease:
        try:
            return await self._client.get(Lease, self._node_name, NAMESPACE)
        except NotFound:
            pass
        meta = self._owned(ObjectMeta(name=self._node_name, namespace=NAMESPACE))
        lease = Lease(metadata=meta, spec=self._spec(LeaseSpec()))
        try:
            return await self._client.create(lease)
        except AlreadyExists:
            return await self._client.get(Lease, self._node_name, NAMESPACE)

    def _owned(self, meta: ObjectMeta) -> ObjectMeta:
        """The lease goes with its Node; the first one may be older than that."""
        node = self._own_node()
        if node is None or meta.owner_references:
            return meta
        owner = OwnerReference(api_version="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid)
        return msgspec.structs.replace(meta, owner_references=[owner])

    def _spec(self, before: LeaseSpec) -> LeaseSpec:
        return msgspec.structs.replace(
            before,
            holder_identity=self._node_name,
            lease_duration_seconds=max(1, round(self._renew_s * DURATION_FACTOR)),
            renew_time=micro_rfc3339(self._wall()),
        )
