"""The workload that scenarios break: web servers behind a Service, in a namespace of their own, observed by watches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec

from master.api.apps.deployment import Deployment, DeploymentSpec
from master.api.core.container import Container, ContainerPort, Probe, ResourceRequirements, TCPSocketAction
from master.api.core.namespace import Namespace
from master.api.core.node import Node
from master.api.core.pod import Pod, PodSpec, PodTemplateSpec
from master.api.core.service import Service, ServicePort, ServiceSpec
from master.api.discovery.endpointslice import EndpointSlice
from master.api.meta import LabelSelector, ObjectMeta
from master.api.status import AlreadyExists, NotFound
from master.client.informer import Informer
from master.client.rest import RestClient

SYNC_TIMEOUT_S = 30.0
NAME = "web"
HTTP_PORT = 8080
GRACE_S = 2
SERVE = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"


class WorkloadSpec(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str = "chaos"
    image: str = "timonier/hello:1"
    command: tuple[str, ...] = ("sh", "-c", SERVE)
    replicas: int = 6


class Workload:
    """Makes the objects and tells what has become of them. Reads come from watches, so they lag by milliseconds."""

    def __init__(self, client: RestClient, spec: WorkloadSpec) -> None:
        self._client, self.spec = client, spec
        self.nodes: Informer[Node] = Informer(client, Node)
        self.pods: Informer[Pod] = Informer(client, Pod, namespace=spec.namespace)
        self.slices: Informer[EndpointSlice] = Informer(client, EndpointSlice, namespace=spec.namespace)

    @contextlib.asynccontextmanager
    async def deployed(self) -> AsyncIterator["Workload"]:
        """The workload exists inside the block; it is deleted on every way out."""
        await self._create()
        followers = [asyncio.create_task(i.run()) for i in (self.nodes, self.pods, self.slices)]
        try:
            for informer in (self.nodes, self.pods, self.slices):
                await informer.wait_synced(SYNC_TIMEOUT_S)
            yield self
        finally:
            for task in followers:
                task.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
            await self.delete()

    async def node_port(self) -> int:
        service = await self._client.get(Service, NAME, self.spec.namespace)
        return service.spec.ports[0].node_port

    def node_address(self, name: str) -> str:
        node = self.nodes.get(name)
        addresses = node.status.addresses if node else []
        return next((a.address for a in addresses if a.type == "InternalIP"), "")

    def is_node_ready(self, name: str) -> bool:
        node = self.nodes.get(name)
        conditions = node.status.conditions if node else []
        return any(c.type == "Ready" and c.status == "True" for c in conditions)

    def ready_nodes(self) -> list[str]:
        return sorted(n.metadata.name for n in self.nodes.list() if self.is_node_ready(n.metadata.name))

    def ready_pods(self) -> list[Pod]:
        """Pods that count: ready and not on their way out."""
        return [p for p in self.pods.list() if is_ready(p) and not p.metadata.deletion_timestamp]

    def pods_on(self, node: str) -> list[Pod]:
        return [p for p in self.pods.list() if p.spec.node_name == node]

    def has_ready_endpoint_on(self, node: str) -> bool:
        endpoints = (e for s in self.slices.list() for e in s.endpoints)
        return any(e.node_name == node and e.conditions.ready is not False for e in endpoints)

    def ready_endpoints(self) -> int:
        return sum(e.conditions.ready is not False for s in self.slices.list() for e in s.endpoints)

    async def delete(self) -> None:
        """The parts first, so that nothing stays even where nobody empties namespaces."""
        for kind in (Service, Deployment):
            with contextlib.suppress(NotFound):
                await self._client.delete(kind, NAME, self.spec.namespace, propagation="Background")
        with contextlib.suppress(NotFound):
            await self._client.delete(Namespace, self.spec.namespace)

    async def _create(self) -> None:
        with contextlib.suppress(AlreadyExists):
            await self._client.create(Namespace(metadata=ObjectMeta(name=self.spec.namespace)))
        for obj in (_deployment(self.spec), _service(self.spec)):
            await self._client.create(obj)


def is_ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def _metadata(spec: WorkloadSpec) -> ObjectMeta:
    return ObjectMeta(name=NAME, namespace=spec.namespace, labels={"app": NAME})


def _deployment(spec: WorkloadSpec) -> Deployment:
    container = Container(
        name=NAME,
        image=spec.image,
        image_pull_policy="IfNotPresent",
        command=list(spec.command),
        ports=[ContainerPort(name="http", container_port=HTTP_PORT)],
        readiness_probe=Probe(tcp_socket=TCPSocketAction(port="http"), period_seconds=1),
        resources=ResourceRequirements(requests={"cpu": "10m", "memory": "16Mi"}),
    )
    pod = PodSpec(containers=[container], termination_grace_period_seconds=GRACE_S)
    template = PodTemplateSpec(metadata=ObjectMeta(labels={"app": NAME}), spec=pod)
    selector = LabelSelector(match_labels={"app": NAME})
    return Deployment(
        metadata=_metadata(spec), spec=DeploymentSpec(replicas=spec.replicas, selector=selector, template=template)
    )


def _service(spec: WorkloadSpec) -> Service:
    port = ServicePort(name="http", port=80, target_port="http")
    return Service(metadata=_metadata(spec), spec=ServiceSpec(type="NodePort", selector={"app": NAME}, ports=[port]))
