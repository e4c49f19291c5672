"""Keeps this node's object in the API: creates it, reports its status, and never undoes what others did to it.

Labels and taints are given when the object is made; later only the kubelet's own labels are kept true, taints belong
to the node controller and to people. Survives masters that are away: it simply tries again.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from master.api.core.node import Node, NodeSpec, NodeStatus
from master.api.meta import ObjectMeta
from master.api.status import AlreadyExists, ApiError, Conflict, NotFound
from master.client.consistency import version_number
from master.client.rest import RestClient
from node.config import NodeConfig
from node.engine.base import Engine, EngineError, ImageInfo
from node.mergediff import merge_diff
from node.nodeinfo import Machine, Pressure, read_pressure
from node.nodestatus import Health, materially_equal, node_labels, node_status, parse_taint

log = logging.getLogger(__name__)

CHECK_S = 1.0
REPORT_S = 10.0
"""Heartbeats of the conditions; a change is reported at the next check. Liveness itself is the lease's affair."""
ENGINE_TIMEOUT_S = 5.0
ENGINE_FRESH_S = 30.0
"""Images and version are asked for this often: nothing is decided by them here."""
ENGINE_RETRY_S = 5.0
PRESSURE_FRESH_S = 5.0
MAX_CONFLICTS = 5


class NodeRegistration:
    """`run` as a task; `node` is the object as last seen or written."""

    def __init__(
        self,
        client: RestClient,
        engine: Engine,
        config: NodeConfig,
        machine: Machine,
        health: Callable[[], Health],
        *,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._engine = engine
        self._config = config
        self._machine = machine
        self._health = health
        self._wall = wall
        self._clock = clock
        self._reported_s: float | None = None
        self._reported: NodeStatus | None = None
        self._engine_told: tuple[list[ImageInfo], str] = ([], "")
        self._engine_due_s = 0.0
        self._pressure: Pressure | None = None
        self._pressure_s = 0.0
        self.node: Node | None = None

    async def run(self) -> None:
        while True:
            try:
                await self.sync()
            except (ApiError, OSError, TimeoutError) as error:
                log.info("node status not reported: %s", error)
            await asyncio.sleep(CHECK_S)

    async def sync(self) -> None:
        """Report when something changed or the heartbeat is due."""
        images, version = await self._ask_engine()
        before = self._reported or NodeStatus()
        status = self._status(before, images, version)
        now_s = self._clock()
        due = self._reported_s is None or now_s - self._reported_s >= REPORT_S
        if not due and materially_equal(status, before):
            return
        node = await self._fetch_or_create()
        for _ in range(MAX_CONFLICTS):
            try:
                self.node = await self._write(node, self._status(node.status, images, version))
                break
            except Conflict:
                node = await self._client.get(Node, self._config.node_name)
        self._reported_s = now_s
        self._reported = self.node.status if self.node is not None else None

    def _status(self, before: NodeStatus, images: list[ImageInfo], version: str) -> NodeStatus:
        now_s = self._clock()
        if self._pressure is None or now_s - self._pressure_s >= PRESSURE_FRESH_S:
            self._pressure, self._pressure_s = read_pressure(self._config.root_dir), now_s
        health, wall_s = self._health(), self._wall()
        return node_status(self._config, self._machine, self._pressure, health, images, version, before, wall_s)

    async def _ask_engine(self) -> tuple[list[ImageInfo], str]:
        """An engine that does not answer makes the node NotReady by way of `health`; it must not stop the report."""
        now_s = self._clock()
        if now_s < self._engine_due_s:
            return self._engine_told
        self._engine_due_s = now_s + ENGINE_RETRY_S
        try:
            async with asyncio.timeout(ENGINE_TIMEOUT_S):
                self._engine_told = (await self._engine.list_images(), await self._engine.version())
            self._engine_due_s = now_s + ENGINE_FRESH_S
        except (EngineError, OSError, TimeoutError) as error:
            log.debug("engine: %s", error)
        return self._engine_told

    async def _fetch_or_create(self) -> Node:
        try:
            return await self._client.get(Node, self._config.node_name)
        except NotFound:
            log.info("registering node %s", self._config.node_name)
        node = Node(
            metadata=ObjectMeta(name=self._config.node_name, labels=node_labels(self._config)),
            spec=NodeSpec(taints=[parse_taint(text) for text in self._config.taints]),
        )
        try:
            return await self._client.create(node)
        except AlreadyExists:
            return await self._client.get(Node, self._config.node_name)

    async def _write(self, node: Node, status: NodeStatus) -> Node:
        name, version = self._config.node_name, node.metadata.resource_version
        missing = {
            key: value for key, value in node_labels(self._config).items() if node.metadata.labels.get(key) != value
        }
        if missing:
            patch = {"metadata": {"resourceVersion": version, "labels": missing}}
            node = await self._client.patch(Node, name, "", patch)
            version = node.metadata.resource_version
        difference = merge_diff(msgspec.to_builtins(node.status), msgspec.to_builtins(status))
        if not difference:
            return node
        change = {"metadata": {"resourceVersion": version}, "status": difference}
        return await self._client.patch(Node, name, "", change, subresource="status")


def known_node(cached: Node | None, cached_version: str, written: Node | None) -> Node | None:
    """This node as it is now: what we wrote counts until the cache has come so far, after that only the cache."""
    if written is not None and version_number(written.metadata.resource_version) > version_number(cached_version):
        return written
    return cached
