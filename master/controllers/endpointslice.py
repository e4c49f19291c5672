"""EndpointSlices: a Service's addresses in pieces of at most a hundred, which is what proxies and DNS read.

Desired: every pod behind a Service with a selector stands in exactly one slice of its ports and address family, with
its conditions ready, serving, terminating. Observed: Services, Pods, the slices that carry our label. Writes: those
slices; an endpoint stays in the slice it is in, so that a change touches one object.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from master.api.core.pod import Pod
from master.api.core.service import Service
from master.api.discovery.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from master.api.meta import ObjectMeta
from master.controllers.base import Context, Controller, Watch
from master.controllers.endpointmodel import Backend, BackendPort, backends, key_of, keys_of_pod, labels_for
from master.controllers.owners import controller_reference

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100
SERVICE_INDEX = "service"

SlicePorts = tuple[BackendPort, ...]


class SlicePlan(msgspec.Struct, frozen=True):
    """What to do with a service's slices. Names of new ones are given when they are created."""

    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()


class EndpointSliceController(Controller):
    name = "endpointslice-controller"
    coalesce_s = 0.02

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._services = context.informers.of(Service)
        self._pods = context.informers.of(Pod)
        self._slices = context.informers.indexed(EndpointSlice, SERVICE_INDEX, _keys_of_slice)

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(Service, key_of),
            Watch(EndpointSlice, _keys_of_slice),
            Watch(Pod, lambda pod: keys_of_pod(pod, self._services.list(pod.metadata.namespace))),
        )

    async def reconcile(self, key: str) -> float | None:
        service = self._services.get(key)
        existing = self._slices.by_index(SERVICE_INDEX, key)
        if service is None:
            plan = SlicePlan(delete=tuple(existing))
        elif not service.spec.selector or service.spec.type == "ExternalName":
            return None
        else:
            found = backends(service, self._pods.list(service.metadata.namespace))
            plan = plan_slices(service, found, existing)
        for slice_ in plan.create:
            slice_.metadata.name = f"{slice_.metadata.generate_name}{self.env.suffix()}"
            await self.create(key, slice_)
        for slice_ in plan.update:
            await self.update(key, slice_)
        for slice_ in plan.delete:
            await self.delete(key, slice_)
        return None


def _keys_of_slice(slice_: EndpointSlice) -> Iterable[str]:
    labels = slice_.metadata.labels
    if labels.get(MANAGED_BY) != MANAGER or SERVICE_NAME not in labels:
        return ()
    return (f"{slice_.metadata.namespace}/{labels[SERVICE_NAME]}",)


def plan_slices(service: Service, found: Sequence[Backend], existing: Sequence[EndpointSlice]) -> SlicePlan:
    """Each group of equal ports and address family is settled by itself; slices of no group go."""
    groups: dict[tuple[str, SlicePorts], list[Backend]] = {}
    for backend in found:
        groups.setdefault((family_of(backend.ip), backend.ports), []).append(backend)
    present: dict[tuple[str, SlicePorts], list[EndpointSlice]] = {}
    for slice_ in sorted(existing, key=lambda slice_: slice_.metadata.name):
        present.setdefault((slice_.address_type, ports_of(slice_)), []).append(slice_)
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    delete: list[EndpointSlice] = []
    labels = labels_for(service, {SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER})
    for group in groups.keys() | present.keys():
        wanted = {backend.ip: _endpoint(backend) for backend in groups.get(group, [])}
        for slice_ in present.get(group, []):
            kept = _take(wanted, slice_)
            if not kept and group not in groups:
                delete.append(slice_)
            elif kept != slice_.endpoints or labels != slice_.metadata.labels:
                meta = msgspec.structs.replace(slice_.metadata, labels=labels)
                update.append(msgspec.structs.replace(slice_, metadata=meta, endpoints=kept))
        update, delete = _fill(wanted, present.get(group, []), update, delete)
        create.extend(_new_slices(service, group, wanted, labels))
    return SlicePlan(tuple(create), tuple(update), tuple(delete))


def _take(wanted: dict[str, Endpoint], slice_: EndpointSlice) -> list[Endpoint]:
    """The slice's endpoints in their present state; they are taken out of `wanted`, which holds the rest."""
    taken = (wanted.pop(endpoint.addresses[0], None) for endpoint in slice_.endpoints if endpoint.addresses)
    return [endpoint for endpoint in taken if endpoint is not None]


def _fill(
    wanted: dict[str, Endpoint],
    present: Sequence[EndpointSlice],
    update: list[EndpointSlice],
    delete: list[EndpointSlice],
) -> tuple[list[EndpointSlice], list[EndpointSlice]]:
    """New endpoints go where there is room; what is left without any goes."""
    changed = {slice_.metadata.name: slice_ for slice_ in update}
    for slice_ in present:
        now = changed.get(slice_.metadata.name, slice_)
        room = MAX_ENDPOINTS - len(now.endpoints)
        added = [wanted.pop(ip) for ip in list(wanted)[:room]]
        if added:
            changed[slice_.metadata.name] = msgspec.structs.replace(now, endpoints=[*now.endpoints, *added])
    emptied = {name for name, slice_ in changed.items() if not slice_.endpoints}
    gone = [slice_ for slice_ in present if slice_.metadata.name in emptied]
    return [slice_ for name, slice_ in changed.items() if name not in emptied], [*delete, *gone]


def _new_slices(
    service: Service, group: tuple[str, SlicePorts], wanted: Mapping[str, Endpoint], labels: dict[str, str]
) -> list[EndpointSlice]:
    address_type, ports = group
    endpoints = list(wanted.values())
    return [
        EndpointSlice(
            metadata=ObjectMeta(
                generate_name=f"{service.metadata.name}-",
                namespace=service.metadata.namespace,
                labels=labels,
                owner_references=[controller_reference(service)],
            ),
            address_type=address_type,
            endpoints=endpoints[start : start + MAX_ENDPOINTS],
            ports=[
                EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
                for port in ports
            ],
        )
        for start in range(0, len(endpoints), MAX_ENDPOINTS)
    ]


def family_of(ip: str) -> str:
    return "IPv6" if ":" in ip else "IPv4"


def ports_of(slice_: EndpointSlice) -> SlicePorts:
    """The slice's ports in the form that groups go by."""
    return tuple(
        sorted(
            BackendPort(port.name or "", port.port or 0, port.protocol or "TCP", port.app_protocol)
            for port in slice_.ports
        )
    )


def _endpoint(backend: Backend) -> Endpoint:
    return Endpoint(
        addresses=[backend.ip],
        conditions=EndpointConditions(ready=backend.ready, serving=backend.serving, terminating=backend.terminating),
        hostname=backend.hostname or None,
        node_name=backend.node_name or None,
        target_ref=backend.target(),
    )
