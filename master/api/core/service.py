"""The kind Service. Its parts and their validation have modules of their own; cluster addresses and node ports are
allocated by the API server, after `default` and before `validate`."""

import msgspec

from master.api.core.cells import labels_cell
from master.api.core.service_types import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    PortStatus,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)
from master.api.meta import Object
from master.api.resource import AGE, NAME, PROXY_VERBS, Cell, Column, ResourceInfo, Subresource, Tree, status_of, wide
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import validate_metadata, validate_metadata_update
from master.api.validation.names import dns_label_1035_faults
from master.api.validation.service import HEADLESS, validate_service_spec, validate_service_spec_update

__all__ = [
    "RESOURCES",
    "ClientIPConfig",
    "LoadBalancerIngress",
    "LoadBalancerStatus",
    "PortStatus",
    "Service",
    "ServicePort",
    "ServiceSpec",
    "ServiceStatus",
    "SessionAffinityConfig",
]

AFFINITY_TIMEOUT_S = 10800  # three hours, as upstream


class Service(Object):
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)


def default(service: Service) -> Service:
    spec = service.spec
    spec.type = spec.type or "ClusterIP"
    spec.session_affinity = spec.session_affinity or "None"
    if spec.session_affinity == "None":
        spec.session_affinity_config = None
    elif spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        if config is None or config.client_ip is None or config.client_ip.timeout_seconds is None:
            client_ip = ClientIPConfig(timeout_seconds=AFFINITY_TIMEOUT_S)
            spec.session_affinity_config = SessionAffinityConfig(client_ip=client_ip)
    for port in spec.ports:
        port.protocol = port.protocol or "TCP"
        if not port.target_port:
            port.target_port = port.port
    if spec.type in ("NodePort", "LoadBalancer") and not spec.external_traffic_policy:
        spec.external_traffic_policy = "Cluster"
    if spec.type != "ExternalName":
        spec.internal_traffic_policy = spec.internal_traffic_policy or "Cluster"
        _default_addresses(spec)
    if spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is None:
        spec.allocate_load_balancer_node_ports = True
    return service


def _default_addresses(spec: ServiceSpec) -> None:
    """`clusterIP` and `clusterIPs` say the same; clusters have one address family, IPv4."""
    if spec.cluster_ip and not spec.cluster_ips:
        spec.cluster_ips = [spec.cluster_ip]
    spec.ip_families = spec.ip_families or ["IPv4"]
    spec.ip_family_policy = spec.ip_family_policy or "SingleStack"


def keep_allocated(new: Service, old: Service) -> None:
    """What the server allocated stays when an update leaves it out, so that old manifests can be replaced."""
    after, before = new.spec, old.spec
    if after.cluster_ip != before.cluster_ip and after.cluster_ips == before.cluster_ips:
        after.cluster_ips = [after.cluster_ip] if after.cluster_ip else []  # only the old field was changed
    if after.type == "ExternalName":
        if before.type != "ExternalName" and after.cluster_ips == before.cluster_ips:
            after.cluster_ip, after.cluster_ips = "", []
        return
    if not after.cluster_ip and not after.cluster_ips and before.type != "ExternalName":
        after.cluster_ip, after.cluster_ips = before.cluster_ip, list(before.cluster_ips)
    elif after.cluster_ip and not after.cluster_ips:
        after.cluster_ips = [after.cluster_ip]
    if after.type in ("NodePort", "LoadBalancer") and before.type in ("NodePort", "LoadBalancer"):
        known = {(port.protocol, port.port): port.node_port for port in before.ports}
        used = {port.node_port for port in after.ports}
        for port in after.ports:
            former = known.get((port.protocol, port.port), 0)
            if not port.node_port and former not in used:
                port.node_port = former
    elif after.type == "ClusterIP" and before.type in ("NodePort", "LoadBalancer"):
        _drop_node_ports(after, before)


def _drop_node_ports(after: ServiceSpec, before: ServiceSpec) -> None:
    """A service that becomes internal gives up the node ports it had, unless the update changed them on purpose."""
    known = {port.node_port for port in before.ports}
    if all(port.node_port in known for port in after.ports):
        for port in after.ports:
            port.node_port = 0
    if after.external_traffic_policy == before.external_traffic_policy and not after.external_ips:
        after.external_traffic_policy = ""
    after.allocate_load_balancer_node_ports = None


def validate(service: Service) -> list[FieldError]:
    errors = validate_metadata(service.metadata, name_faults=dns_label_1035_faults)
    return errors + validate_service_spec(service.spec)


def validate_update(new: Service, old: Service) -> list[FieldError]:
    errors = validate_metadata_update(new.metadata, old.metadata)
    errors += validate_service_spec_update(new.spec, old.spec)
    return errors + validate(new)


def cells(service: Service, now_s: float) -> list[Cell]:
    spec = service.spec
    return [
        service.metadata.name,
        spec.type,
        (spec.cluster_ips[0] if spec.cluster_ips else spec.cluster_ip) or "<none>",
        _external(service),
        ",".join(_port_cell(port) for port in spec.ports) or "<none>",
        age(service.metadata.creation_timestamp, now_s),
        labels_cell(spec.selector),
    ]


def _external(service: Service) -> str:
    spec = service.spec
    if spec.type == "ExternalName":
        return spec.external_name
    if spec.type != "LoadBalancer":
        return ",".join(spec.external_ips) or "<none>"
    ingress = sorted({entry.ip or entry.hostname for entry in service.status.load_balancer.ingress})
    return ",".join([*ingress, *spec.external_ips]) or "<pending>"


def _port_cell(port: ServicePort) -> str:
    node_port = f":{port.node_port}" if port.node_port else ""
    return f"{port.port}{node_port}/{port.protocol}"


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == HEADLESS


def own_fields(tree: Tree) -> dict[str, str]:
    spec = tree.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Service",
        plural="services",
        singular="service",
        short_names=("svc",),
        categories=("all",),
        struct=Service,
        subresources={"proxy": Subresource("", "", "ServiceProxyOptions", PROXY_VERBS), "status": status_of("Service")},
        strategy=Strategy(
            has_status=True,
            allow_create_on_update=True,
            delete_returns_object=True,
            on_update=keep_allocated,
        ),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(
            NAME,
            Column("Type"),
            Column("Cluster-IP"),
            Column("External-IP"),
            Column("Port(s)"),
            AGE,
            wide("Selector"),
        ),
        cells=cells,
        own_fields=own_fields,
    ),
)
