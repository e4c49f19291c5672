"""Validation of Services: type, ports, addresses, traffic policies, and what an update may change."""

from collections.abc import Sequence

from master.api.core.service_types import ServicePort, ServiceSpec
from master.api.status import FieldError
from master.api.validation.metadata import validate_labels
from master.api.validation.names import dns_label_faults, dns_subdomain_faults, port_number_faults
from master.api.validation.network import ip_errors
from master.api.validation.ports import PROTOCOLS, validate_port

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
POLICIES = ("Cluster", "Local")
HEADLESS = "None"
AFFINITY_MAX_S = 86400


def validate_service_spec(spec: ServiceSpec) -> list[FieldError]:
    errors = _type_errors(spec)
    for index, port in enumerate(spec.ports):
        errors += _port_errors(spec, port, f"spec.ports[{index}]")
    errors += _port_uniqueness(spec.ports)
    errors += validate_labels(spec.selector, "spec.selector")
    errors += _affinity_errors(spec)
    errors += _address_errors(spec)
    for index, address in enumerate(spec.external_ips):
        errors += ip_errors(address, f"spec.externalIPs[{index}]")
    errors += _policy_errors(spec)
    return errors


def _type_errors(spec: ServiceSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    headless = spec.cluster_ip == HEADLESS
    if not spec.ports and not headless and spec.type != "ExternalName":
        errors.append(FieldError.required("spec.ports"))
    if spec.type in ("LoadBalancer", "NodePort") and headless:
        detail = f"may not be set to 'None' for {spec.type} services"
        errors.append(FieldError.invalid("spec.clusterIPs[0]", HEADLESS, detail))
    if not spec.type:
        errors.append(FieldError.required("spec.type"))
    elif spec.type not in TYPES:
        errors.append(FieldError.not_supported("spec.type", spec.type, TYPES))
    if spec.type == "ExternalName":
        if spec.cluster_ips or spec.cluster_ip:
            errors.append(FieldError.forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
        name = spec.external_name.removesuffix(".")
        if name:
            errors += FieldError.invalid_each("spec.externalName", spec.external_name, dns_subdomain_faults(name))
        else:
            errors.append(FieldError.required("spec.externalName"))
    return errors


def _port_errors(spec: ServiceSpec, port: ServicePort, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not port.name:
        if len(spec.ports) > 1:
            errors.append(FieldError.required(f"{path}.name"))
    else:
        errors += FieldError.invalid_each(f"{path}.name", port.name, dns_label_faults(port.name))
    errors += FieldError.invalid_each(f"{path}.port", port.port, port_number_faults(port.port))
    if not port.protocol:
        errors.append(FieldError.required(f"{path}.protocol"))
    elif port.protocol not in PROTOCOLS:
        errors.append(FieldError.not_supported(f"{path}.protocol", port.protocol, PROTOCOLS))
    errors += validate_port(f"{path}.targetPort", port.target_port)
    if port.node_port and spec.type in ("ClusterIP", "ExternalName"):
        errors.append(FieldError.forbidden(f"{path}.nodePort", f"may not be used when `type` is '{spec.type}'"))
    return errors


def _port_uniqueness(ports: Sequence[ServicePort]) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    taken: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if port.name and port.name in names:
            errors.append(FieldError.duplicate(f"{path}.name", port.name))
        names.add(port.name)
        if (port.protocol, port.port) in taken:
            errors.append(FieldError.duplicate(path, _key(port.protocol, port.port)))
        taken.add((port.protocol, port.port))
        if port.node_port and (port.protocol, port.node_port) in node_ports:
            errors.append(FieldError.duplicate(f"{path}.nodePort", _key(port.protocol, node_port=port.node_port)))
        node_ports.add((port.protocol, port.node_port))
    return errors


def _key(protocol: str, port: int = 0, node_port: int = 0) -> dict[str, object]:
    """A port as Kubernetes shows it in such messages: its internal form."""
    return {
        "AppProtocol": None,
        "Name": "",
        "NodePort": node_port,
        "Port": port,
        "Protocol": protocol,
        "TargetPort": 0,
    }


def _affinity_errors(spec: ServiceSpec) -> list[FieldError]:
    if not spec.session_affinity:
        return [FieldError.required("spec.sessionAffinity")]
    if spec.session_affinity not in AFFINITIES:
        return [FieldError.not_supported("spec.sessionAffinity", spec.session_affinity, AFFINITIES)]
    config = spec.session_affinity_config
    if spec.session_affinity == "ClientIP":
        timeout_s = config.client_ip.timeout_seconds if config and config.client_ip else None
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        if timeout_s is None:
            return [FieldError.required(path)]
        if not 0 < timeout_s <= AFFINITY_MAX_S:
            return [FieldError.invalid(path, timeout_s, f"must be greater than 0 and less than {AFFINITY_MAX_S}")]
    elif config is not None:
        detail = "must not be set when session affinity is None"
        return [FieldError.forbidden("spec.sessionAffinityConfig", detail)]
    return []


def _address_errors(spec: ServiceSpec) -> list[FieldError]:
    if spec.type == "ExternalName":
        return []
    errors: list[FieldError] = []
    if spec.cluster_ips and spec.cluster_ips[0] != spec.cluster_ip:
        detail = "first value must match `clusterIP`"
        errors.append(FieldError.invalid("spec.clusterIPs", spec.cluster_ips, detail))
    for index, address in enumerate(spec.cluster_ips):
        if address == HEADLESS and len(spec.cluster_ips) > 1:
            detail = "'None' must be the first and only value"
            errors.append(FieldError.invalid(f"spec.clusterIPs[{index}]", address, detail))
        elif address != HEADLESS:
            errors += ip_errors(address, f"spec.clusterIPs[{index}]")
    return errors


def _policy_errors(spec: ServiceSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    external = spec.type in ("LoadBalancer", "NodePort") or bool(spec.external_ips)
    policy = spec.external_traffic_policy
    if policy and not external:
        detail = "may only be set for externally-accessible services"
        errors.append(FieldError.invalid("spec.externalTrafficPolicy", policy, detail))
    elif policy and policy not in POLICIES:
        errors.append(FieldError.not_supported("spec.externalTrafficPolicy", policy, POLICIES))
    internal = spec.internal_traffic_policy
    if internal is not None and internal not in POLICIES:
        errors.append(FieldError.not_supported("spec.internalTrafficPolicy", internal, POLICIES))
    return errors


def validate_service_spec_update(new: ServiceSpec, old: ServiceSpec) -> list[FieldError]:
    """The cluster address stays as long as the service has one."""
    if "ExternalName" in (new.type, old.type) or not old.cluster_ip or new.cluster_ip == old.cluster_ip:
        return []
    return [FieldError.invalid("spec.clusterIPs[0]", new.cluster_ips, "may not change once set")]
