"""What every pod worker shares: the collaborators of the node, handed over as one value instead of fifteen."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from master.api.core.pod import Pod
from master.api.core.service import Service
from master.api.model import Quantity
from master.client.events import EventRecorder
from master.client.informer import Informer
from master.client.rest import RestClient
from node.config import NodeConfig
from node.engine.base import Engine
from node.images import ImagePuller
from node.network.base import Network
from node.network.hostports import HostPorts
from node.objects import ObjectCache
from node.pleg import RuntimeCache
from node.podsource import PodSource
from node.probes import ProbeTable
from node.reporter import StatusReporter


class NodeContext(msgspec.Struct, kw_only=True):
    """`wall` is the clock of the API and of the engine's times, `clock` the monotonic one of waits."""

    config: NodeConfig
    client: RestClient
    engine: Engine
    network: Network
    host_ports: HostPorts
    recorder: EventRecorder
    cache: RuntimeCache
    source: PodSource
    reporter: StatusReporter
    images: ImagePuller
    probes: ProbeTable
    objects: ObjectCache
    services: Informer[Service]
    slots: asyncio.Semaphore
    """Bounds how many sandboxes and containers are made at once: more only slow each other down."""
    wall: Callable[[], float]
    clock: Callable[[], float]
    network_ready: asyncio.Event
    allocatable: dict[str, Quantity] = {}

    @property
    def root(self) -> Path:
        return Path(self.config.root_dir)

    def pod_folder(self, uid: str) -> Path:
        return self.root / "pods" / uid

    def log_folder(self, pod: Pod) -> Path:
        meta = pod.metadata
        return self.root / "logs" / "pods" / f"{meta.namespace}_{meta.name}_{meta.uid}"

    def event(self, pod: Pod, type: str, reason: str, message: str) -> None:
        self.recorder.event(self.source.api_object(pod) or pod, type, reason, message)
