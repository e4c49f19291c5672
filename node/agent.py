"""The kubelet as a whole: makes its parts, joins them, runs them until it is told to stop.

Stopping leaves every container running; the next kubelet adopts them by their labels.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.core.service import Service
from master.client.events import EventRecorder
from master.client.informer import Informer
from master.client.rest import RestClient
from node.config import NodeConfig
from node.context import NodeContext
from node.engine.base import Engine
from node.images import ImagePuller
from node.lease import NodeLease
from node.network.base import Network
from node.network.hostports import HostPorts
from node.nodeinfo import allocatable, read_machine
from node.nodestatus import Health
from node.objects import ObjectCache
from node.pleg import RuntimeCache
from node.podsource import PodSource
from node.podview import PodView
from node.podworkers import PodWorkers
from node.probes import ProbeTable
from node.registration import NodeRegistration, known_node
from node.reporter import StatusReporter
from node.routes import NodeNetwork
from node.server import KubeletServer
from node.statics import ManifestFolder

log = logging.getLogger(__name__)

USER_AGENT = "timonier-kubelet"
SLOTS_PER_CPU = 2
STOP_S = 4.0
"""The promise is five seconds from SIGTERM to the end."""
BIND_RETRY_S = 1.0
PART_RETRY_S = 1.0


class Kubelet:
    """`run` until `stop`."""

    def __init__(self, config: NodeConfig, engine: Engine, network: Network) -> None:
        self._config = config
        self._engine = engine
        self._network = network
        self._stopping = asyncio.Event()
        self._client = RestClient(config.client, user_agent=USER_AGENT)
        # The heartbeat has connections of its own: it must not wait behind anything.
        self._heart_client = RestClient(config.client, user_agent=f"{USER_AGENT}-heartbeat")
        Path(config.root_dir).mkdir(parents=True, exist_ok=True)
        machine = read_machine(config.root_dir)
        self._nodes: Informer[Node] = Informer(self._client, Node)
        self._services: Informer[Service] = Informer(self._client, Service)
        memory = Path(config.root_dir) / "pod-cidr"
        self._host_ports = HostPorts(Path(config.root_dir) / "network")
        self._node_network = NodeNetwork(
            network, self._host_ports, self._nodes, config.node_name, memory, self._live_sandboxes
        )
        self._context = self._make_context()
        self._context.allocatable = allocatable(machine, config.max_pods)
        self._context.source.informer.add_handler(self._context.reporter.follow)
        self._workers = PodWorkers(self._context, self._own_node)
        self._registration = NodeRegistration(
            self._heart_client, engine, config, machine, self._health, wall=time.time, clock=time.monotonic
        )
        self._lease = NodeLease(
            self._heart_client, config.node_name, config.lease_renew_s, self._own_node, wall=time.time
        )
        self._server = KubeletServer(self._context, PodView(self._context, self._workers.worker))

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        background = asyncio.create_task(self._run_parts(), name="kubelet")
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        done, _ = await asyncio.wait((background, stop), return_when=asyncio.FIRST_COMPLETED)
        background.cancel()
        stop.cancel()
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(background, return_exceptions=True)
                await self._close()
        except TimeoutError:
            log.warning("some part did not stop in time")
        if background in done:
            background.result()

    async def _close(self) -> None:
        await self._server.stop()
        await self._client.close()
        await self._heart_client.close()
        await self._engine.close()

    async def _run_parts(self) -> None:
        context = self._context
        parts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "lease": self._lease.run,
            "registration": self._registration.run,
            "events": context.recorder.run,
            "runtime": context.cache.run,
            "nodes": self._nodes.run,
            "services": self._services.run,
            "network": self._node_network.run,
            "pods": context.source.run,
            "status": context.reporter.run,
            "workers": self._workers.run,
            "server": self._serve,
        }
        async with asyncio.TaskGroup() as group:
            for name, part in parts.items():
                group.create_task(_keep_running(name, part), name=name)

    def _make_context(self) -> NodeContext:
        config, engine, client = self._config, self._engine, self._client
        folder = ManifestFolder(Path(config.static_pod_dir), config.node_name) if config.static_pod_dir else None
        return NodeContext(
            config=config,
            client=client,
            engine=engine,
            network=self._network,
            host_ports=self._host_ports,
            recorder=EventRecorder(client, "kubelet", host=config.node_name),
            cache=RuntimeCache(engine, self._wake, clock=time.monotonic),
            source=PodSource(client, config.node_name, folder, self._wake, self._own_node),
            reporter=StatusReporter(client),
            images=ImagePuller(engine, time.time, self._wake),
            probes=ProbeTable(engine, time.time, self._wake, self._tell),
            objects=ObjectCache(client, time.monotonic),
            services=self._services,
            slots=asyncio.Semaphore(SLOTS_PER_CPU * (os.cpu_count() or 1)),
            wall=time.time,
            clock=time.monotonic,
            network_ready=self._node_network.ready,
        )

    def _wake(self, uid: str) -> None:
        self._workers.wake(uid)

    def _tell(self, pod: Pod, type: str, reason: str, message: str) -> None:
        self._context.event(pod, type, reason, message)

    def _own_node(self) -> Node | None:
        cached = self._nodes.get(self._config.node_name)
        return known_node(cached, self._nodes.resource_version, self._registration.node)

    def _health(self) -> Health:
        cache = self._context.cache
        engine_error = "" if cache.healthy else f"container runtime is down: {cache.error}"
        return Health(engine_error=engine_error, network_error=self._node_network.error)

    async def _live_sandboxes(self) -> list[str]:
        cache = self._context.cache
        await cache.newer_than("", 0.0)
        return [each.id for pod in cache.pods().values() for each in pod.sandboxes if each.running]

    async def _serve(self) -> None:
        """The ports may still be held by the kubelet that was here before."""
        while True:
            try:
                await self._server.start()
                break
            except OSError as error:
                log.warning("the server cannot start: %s", error)
                await self._server.stop()
                await asyncio.sleep(BIND_RETRY_S)
        await asyncio.Event().wait()


async def _keep_running(name: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A fault in one part must not take the others down, least of all the heartbeat."""
    while True:
        try:
            await part()
            return
        except Exception:
            log.exception("%s has failed and starts anew", name)
            await asyncio.sleep(PART_RETRY_S)


async def run_kubelet(config: NodeConfig, engine: Engine, network: Network) -> None:
    """Until SIGTERM or SIGINT."""
    kubelet = Kubelet(config, engine, network)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, kubelet.stop)
    log.info("kubelet of %s starts", config.node_name)
    await kubelet.run()
    log.info("kubelet of %s has stopped; its containers go on", config.node_name)
