"""Endpoints: the older form of a Service's addresses, which clients and monitoring still read.

Desired: for every Service with a selector one Endpoints of its name, ready pods under `addresses`, others under
`notReadyAddresses`, terminating ones nowhere. Observed: Services and Pods. Writes: Endpoints that carry its label;
those of Services without a selector belong to whoever made them.
"""

from collections.abc import Sequence

import msgspec

from master.api.core.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from master.api.core.pod import Pod
from master.api.core.service import Service
from master.api.meta import ObjectMeta
from master.controllers.base import Context, Controller, Watch
from master.controllers.endpointmodel import Backend, BackendPort, backends, key_of, keys_of_pod, labels_for

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000
"""Kubernetes' bound; more than that is what EndpointSlices are for."""


class EndpointsController(Controller):
    name = "endpoints-controller"
    coalesce_s = 0.02

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._services = context.informers.of(Service)
        self._pods = context.informers.of(Pod)
        self._endpoints = context.informers.of(Endpoints)

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(Service, key_of),
            Watch(Endpoints, key_of),
            Watch(Pod, lambda pod: keys_of_pod(pod, self._services.list(pod.metadata.namespace))),
        )

    async def reconcile(self, key: str) -> float | None:
        service = self._services.get(key)
        existing = self._endpoints.get(key)
        if service is None:
            if existing is not None and existing.metadata.labels.get(MANAGED_BY) == MANAGER:
                await self.delete(key, existing)
            return None
        if not service.spec.selector:
            return None
        planned = plan_endpoints(service, self._pods.list(service.metadata.namespace), existing)
        if existing is None:
            await self.create(key, planned)
        elif planned is not existing:
            await self.update(key, planned)
        return None


def plan_endpoints(service: Service, pods: Sequence[Pod], existing: Endpoints | None) -> Endpoints:
    """The Endpoints as they should be; the very object that exists when nothing needs to change."""
    living = [backend for backend in backends(service, pods) if backend.ready or not backend.terminating]
    # Ready ones first, so that what is cut off is what serves nobody.
    kept = sorted(living, key=lambda backend: not backend.ready)[:MAX_ADDRESSES]
    subsets = to_subsets(kept)
    meta = existing.metadata if existing is not None else ObjectMeta(name=service.metadata.name)
    annotations = {name: value for name, value in meta.annotations.items() if name != OVER_CAPACITY}
    if len(kept) < len(living):
        annotations[OVER_CAPACITY] = "truncated"
    labels = labels_for(service, {MANAGED_BY: MANAGER})
    if existing is not None and (subsets, labels, annotations) == (existing.subsets, meta.labels, meta.annotations):
        return existing
    meta = msgspec.structs.replace(meta, namespace=service.metadata.namespace, labels=labels, annotations=annotations)
    return Endpoints(metadata=meta, subsets=subsets)


def to_subsets(backends: Sequence[Backend]) -> list[EndpointSubset]:
    """Addresses that serve the same ports stand together."""
    groups: dict[tuple[BackendPort, ...], list[Backend]] = {}
    for backend in backends:
        groups.setdefault(backend.ports, []).append(backend)
    return [
        EndpointSubset(
            addresses=[_address(backend) for backend in sorted(group, key=_ip) if backend.ready],
            not_ready_addresses=[_address(backend) for backend in sorted(group, key=_ip) if not backend.ready],
            ports=[
                EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
                for port in ports
            ],
        )
        for ports, group in sorted(groups.items())
    ]


def _ip(backend: Backend) -> str:
    return backend.ip


def _address(backend: Backend) -> EndpointAddress:
    return EndpointAddress(
        ip=backend.ip,
        hostname=backend.hostname,
        node_name=backend.node_name or None,
        target_ref=backend.target(),
    )
