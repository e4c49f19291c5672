"""What a node's service network has to do: pure facts out of Services and EndpointSlices.

A `PortMapping` is one port of one service with the endpoints that may serve it, already chosen: readiness, termination
and node locality are settled here, so that rule writers, conntrack clean-up and tests reason about addresses only.
The choices follow kube-proxy (`pkg/proxy/topology.go`, KEP-1669 for terminating endpoints).
"""

import functools
import ipaddress
from collections.abc import Iterable

import msgspec

from master.api.core.service import Service, ServicePort
from master.api.discovery.endpointslice import Endpoint as SliceEndpoint
from master.api.discovery.endpointslice import EndpointSlice

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
DEFAULT_AFFINITY_S = 10_800  # the API's default for sessionAffinity: ClientIP
ADDRESS_CACHE = 65_536
PROTOCOLS = ("TCP", "UDP")  # SCTP needs a kernel module that few nodes have; such ports are left alone


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """Where a connection may end."""

    ip: str
    port: int
    is_local: bool = False


class PortMapping(msgspec.Struct, frozen=True, kw_only=True):
    """One service port: its addresses, its policies, and the endpoints chosen for each kind of traffic."""

    namespace: str
    service: str
    port_name: str = ""
    protocol: str = "tcp"
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    affinity_s: int = 0
    internal_local: bool = False
    external_local: bool = False
    cluster_endpoints: tuple[Endpoint, ...] = ()
    local_endpoints: tuple[Endpoint, ...] = ()

    @property
    def name(self) -> str:
        """kube-proxy's ServicePortName, the seed of chain names and the text of comments."""
        return f"{self.namespace}/{self.service}" + (f":{self.port_name}" if self.port_name else "")

    @property
    def internal_endpoints(self) -> tuple[Endpoint, ...]:
        """Endpoints for traffic to the cluster IP."""
        return self.local_endpoints if self.internal_local else self.cluster_endpoints

    @property
    def external_endpoints(self) -> tuple[Endpoint, ...]:
        """Endpoints for traffic that comes from outside the cluster."""
        return self.local_endpoints if self.external_local else self.cluster_endpoints

    @property
    def is_external(self) -> bool:
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that a rule of this port points at; local ones count only where a policy asks for them."""
        local = self.local_endpoints if self.internal_local or self.external_local else ()
        return tuple(sorted({*self.cluster_endpoints, *local}))


def service_key_of(slice_: EndpointSlice) -> str:
    """`namespace/name` of the service a slice belongs to, or "" for an orphan."""
    service = slice_.metadata.labels.get(SERVICE_NAME_LABEL, "")
    return f"{slice_.metadata.namespace}/{service}" if service else ""


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip in ("", "None") or service.spec.type == "ExternalName"


def mappings_of(
    service: Service, slices: Iterable[EndpointSlice], node_name: str, served_here: frozenset[str] = frozenset()
) -> tuple[PortMapping, ...]:
    """The port mappings of one service on one node; none for headless ones and for addresses the node serves itself."""
    if is_headless(service) or service.spec.cluster_ip in served_here or not is_ipv4(service.spec.cluster_ip):
        return ()
    own = [s for s in slices if s.address_type == "IPv4"]
    ports = (port for port in service.spec.ports if (port.protocol or "TCP") in PROTOCOLS)
    return tuple(_mapping(service, port, own, node_name) for port in ports)


def _mapping(service: Service, port: ServicePort, slices: list[EndpointSlice], node_name: str) -> PortMapping:
    spec = service.spec
    candidates = _candidates(port, slices, node_name)
    return PortMapping(
        namespace=service.metadata.namespace,
        service=service.metadata.name,
        port_name=port.name,
        protocol=(port.protocol or "TCP").lower(),
        cluster_ip=spec.cluster_ip,
        port=port.port,
        node_port=port.node_port,
        external_ips=tuple(ip for ip in spec.external_ips if is_ipv4(ip)),
        load_balancer_ips=_load_balancer_ips(service),
        source_ranges=tuple(cidr for cidr in spec.load_balancer_source_ranges if is_ipv4(cidr.partition("/")[0])),
        affinity_s=_affinity_s(service),
        internal_local=spec.internal_traffic_policy == "Local",
        external_local=spec.external_traffic_policy == "Local",
        cluster_endpoints=_choose(candidates),
        local_endpoints=_choose((e, c) for e, c in candidates if e.is_local),
    )


def _candidates(port: ServicePort, slices: list[EndpointSlice], node_name: str) -> list[tuple[Endpoint, SliceEndpoint]]:
    """Every endpoint of every slice for this port: the numeric port is the slice's, which has targetPort resolved."""
    found: list[tuple[Endpoint, SliceEndpoint]] = []
    for slice_ in slices:
        for slice_port in slice_.ports:
            same_protocol = (slice_port.protocol or "TCP") == (port.protocol or "TCP")
            if not same_protocol or (slice_port.name or "") != port.name or not slice_port.port:
                continue
            for endpoint in slice_.endpoints:
                if endpoint.addresses and is_ipv4(endpoint.addresses[0]):
                    is_local = endpoint.node_name == node_name
                    found.append((Endpoint(endpoint.addresses[0], slice_port.port, is_local), endpoint))
    return found


def _choose(candidates: Iterable[tuple[Endpoint, SliceEndpoint]]) -> tuple[Endpoint, ...]:
    """The ready endpoints; when there is none, those that still serve while they terminate (KEP-1669)."""
    pairs = list(candidates)
    ready = {endpoint for endpoint, facts in pairs if facts.conditions.ready is not False}
    draining = {endpoint for endpoint, facts in pairs if facts.conditions.serving and facts.conditions.terminating}
    return tuple(sorted(ready or draining))


def _affinity_s(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    timeout = config.client_ip.timeout_seconds if config and config.client_ip else None
    return timeout or DEFAULT_AFFINITY_S


def _load_balancer_ips(service: Service) -> tuple[str, ...]:
    ingress = service.status.load_balancer.ingress
    return tuple(i.ip for i in ingress if is_ipv4(i.ip) and i.ip_mode != "Proxy")


@functools.lru_cache(maxsize=ADDRESS_CACHE)
def is_ipv4(text: str) -> bool:
    """IPv6 is not served; anything else that is no address was let through by somebody and must not stop the rest."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
