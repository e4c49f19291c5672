"""Which pods stand behind a Service and in what state: what Endpoints and EndpointSlices have in common. Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from master.api.core.pod import Pod
from master.api.core.references import ObjectReference
from master.api.core.service import Service, ServicePort
from master.api.meta import Object
from master.client.rest import object_key
from master.controllers.podstate import is_finished, is_ready

HEADLESS_LABEL = "service.kubernetes.io/headless"


class BackendPort(msgspec.Struct, frozen=True, order=True):
    """A service port as one pod serves it."""

    name: str
    port: int
    protocol: str
    app_protocol: str | None = None


class Backend(msgspec.Struct, frozen=True):
    """One pod behind a service. `ready` is what traffic goes by; a terminating pod may still be `serving`."""

    ip: str
    ports: tuple[BackendPort, ...]
    node_name: str
    hostname: str
    ready: bool
    serving: bool
    terminating: bool
    pod_namespace: str
    pod_name: str
    pod_uid: str

    def target(self) -> ObjectReference:
        return ObjectReference(kind="Pod", namespace=self.pod_namespace, name=self.pod_name, uid=self.pod_uid)


def selects(service: Service, pod: Pod) -> bool:
    """A service without a selector has its endpoints from elsewhere."""
    selector = service.spec.selector
    return bool(selector) and selector.items() <= pod.metadata.labels.items()


def backends(service: Service, pods: Iterable[Pod]) -> list[Backend]:
    """All pods that have an address and have not finished, by address, each address and its ports once.

    Pods in the host's network share an address, one on its way out and its successor for a while even their ports:
    then the one that serves best stands for them."""
    found: dict[tuple[str, tuple[BackendPort, ...]], Backend] = {}
    standing = [
        _backend(service, pod) for pod in pods if pod.status.pod_ip and not is_finished(pod) and selects(service, pod)
    ]
    for backend in sorted(standing, key=_worth):
        found.setdefault((backend.ip, backend.ports), backend)
    return [found[place] for place in sorted(found)]


def _worth(backend: Backend) -> tuple[bool, bool, bool, str]:
    return backend.terminating, not backend.ready, not backend.serving, backend.pod_name


def _backend(service: Service, pod: Pod) -> Backend:
    serving = is_ready(pod)
    terminating = pod.metadata.deletion_timestamp is not None
    named = pod.spec.hostname and pod.spec.subdomain == service.metadata.name
    return Backend(
        ip=pod.status.pod_ip,
        ports=tuple(sorted(filter(None, (_port(port, pod) for port in service.spec.ports)))),
        node_name=pod.spec.node_name,
        hostname=pod.spec.hostname if named else "",
        ready=service.spec.publish_not_ready_addresses or (serving and not terminating),
        serving=serving,
        terminating=terminating,
        pod_namespace=pod.metadata.namespace,
        pod_name=pod.metadata.name,
        pod_uid=pod.metadata.uid,
    )


def _port(port: ServicePort, pod: Pod) -> BackendPort | None:
    """None when the pod does not have the port that the service names."""
    number = target_number(port, pod)
    if number is None:
        return None
    return BackendPort(port.name, number, port.protocol or "TCP", port.app_protocol)


def target_number(port: ServicePort, pod: Pod) -> int | None:
    """`targetPort` as a number; a name is looked up in the pod's containers, by name and protocol."""
    target = port.target_port
    if target is None or target in (0, ""):
        return port.port
    if isinstance(target, int):
        return target
    for container in pod.spec.containers:
        for exposed in container.ports:
            if exposed.name == target and (exposed.protocol or "TCP") == (port.protocol or "TCP"):
                return exposed.container_port
    return None


def labels_for(service: Service, own: Mapping[str, str]) -> dict[str, str]:
    """The service's labels, ours on top, and the mark of a headless service, which proxies skip."""
    labels = {**service.metadata.labels, **own}
    if service.spec.cluster_ip == "None":
        labels[HEADLESS_LABEL] = ""
    else:
        labels.pop(HEADLESS_LABEL, None)
    return labels


def keys_of_pod(pod: Pod, services: Iterable[Service]) -> list[str]:
    """The services of its namespace that the pod stands behind."""
    return [object_key(service) for service in services if selects(service, pod)]


def key_of(obj: Object) -> tuple[str]:
    return (object_key(obj),)
