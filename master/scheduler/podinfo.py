"""What scheduling needs to know of a pod, computed once: its effective requests, host ports and owner."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from master.api.core.container import Container
from master.api.core.pod import Pod
from master.api.model import Quantity
from master.api.quantity import milli, whole
from master.client.rest import object_key

CPU = "cpu"
MEMORY = "memory"
PODS = "pods"
DEFAULT_CPU_MILLI = 100
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024
"""What a container without requests counts for in scores (not in fit), so that such pods spread out too."""
ANY_ADDRESS = "0.0.0.0"
MAX_AMOUNT = 2**53
"""Larger amounts count as this: no node has them, and sums over a thousand pods stay within 64 bits."""

Amounts = dict[str, int]
"""Resource → amount: thousandths for cpu, whole units for everything else."""


class HostPort(NamedTuple):
    address: str
    protocol: str
    port: int

    def clashes(self, other: "HostPort") -> bool:
        same = (self.protocol, self.port) == (other.protocol, other.port)
        return same and (self.address == other.address or ANY_ADDRESS in (self.address, other.address))


class PodInfo:
    """A pod with its derived values; as immutable as the pod itself."""

    __slots__ = ("key", "owner", "pod", "ports", "requests", "score_requests", "uid")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.key = object_key(pod)
        self.uid = pod.metadata.uid
        self.requests = pod_requests(pod)
        self.score_requests = score_requests(pod, self.requests)
        self.ports = tuple(host_ports(pod))
        self.owner = owner_of(pod)

    @property
    def priority(self) -> int:
        return self.pod.spec.priority or 0


def amount(resource: str, quantity: Quantity) -> int:
    return min(MAX_AMOUNT, milli(quantity) if resource == CPU else whole(quantity))


def amounts(quantities: Mapping[str, Quantity]) -> Amounts:
    return {resource: amount(resource, quantity) for resource, quantity in quantities.items()}


def pod_requests(pod: Pod) -> Amounts:
    """The most the pod needs at any moment of its life (KEP-753): sidecars run along with everything after them."""
    running: Amounts = {}
    peak: Amounts = {}
    for container in pod.spec.init_containers:
        wanted = amounts(container.resources.requests)
        if is_sidecar(container):
            running = _sum(running, wanted)
            peak = _max(peak, running)
        else:
            peak = _max(peak, _sum(running, wanted))
    for container in pod.spec.containers:
        running = _sum(running, amounts(container.resources.requests))
    total = _max(peak, running)
    if pod.spec.resources is not None:  # requests of the pod as a whole stand above those of its containers
        total = {**total, **amounts(pod.spec.resources.requests)}
    return {**_sum(total, amounts(pod.spec.overhead)), PODS: 1}


def score_requests(pod: Pod, requests: Amounts) -> Amounts:
    """CPU and memory as scores see them: containers without a request count for something."""
    missing_cpu = sum(CPU not in container.resources.requests for container in pod.spec.containers)
    missing_memory = sum(MEMORY not in container.resources.requests for container in pod.spec.containers)
    return {
        CPU: requests.get(CPU, 0) + missing_cpu * DEFAULT_CPU_MILLI,
        MEMORY: requests.get(MEMORY, 0) + missing_memory * DEFAULT_MEMORY_BYTES,
    }


def is_sidecar(container: Container) -> bool:
    return container.restart_policy == "Always"


def host_ports(pod: Pod) -> Iterable[HostPort]:
    sidecars = [container for container in pod.spec.init_containers if is_sidecar(container)]
    for container in [*pod.spec.containers, *sidecars]:
        for port in container.ports:
            if port.host_port > 0:
                yield HostPort(port.host_ip or ANY_ADDRESS, port.protocol or "TCP", port.host_port)


def owner_of(pod: Pod) -> str:
    """What makes pods replicas of each other: their controller, else their labels; "" for a pod like no other."""
    for owner in pod.metadata.owner_references:
        if owner.controller:
            return owner.uid
    if not pod.metadata.labels:
        return ""
    labels = ",".join(f"{key}={value}" for key, value in sorted(pod.metadata.labels.items()))
    return f"{pod.metadata.namespace}/{labels}"


def _sum(left: Amounts, right: Amounts) -> Amounts:
    return {key: left.get(key, 0) + right.get(key, 0) for key in left.keys() | right.keys()}


def _max(left: Amounts, right: Amounts) -> Amounts:
    return {key: max(left.get(key, 0), right.get(key, 0)) for key in left.keys() | right.keys()}
