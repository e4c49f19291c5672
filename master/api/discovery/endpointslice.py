"""discovery.endpointslice types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.cells import shortened
from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.model import SET, Int32, Model, required, required_list
from master.api.resource import AGE, NAME, Cell, Column, ResourceInfo
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import immutable, validate_metadata, validate_metadata_update
from master.api.validation.names import dns_label_faults, dns_subdomain_faults, port_number_faults
from master.api.validation.network import endpoint_ip_errors
from master.api.validation.ports import PROTOCOLS


class EndpointConditions(Model):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForNode(Model):
    name: str = required("")


class ForZone(Model):
    name: str = required("")


class EndpointHints(Model):
    for_zones: list[ForZone] = []
    for_nodes: list[ForNode] = []


class Endpoint(Model):
    addresses: Annotated[list[str], SET] = required_list()
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    deprecated_topology: dict[str, str] = {}
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Model):
    name: str | None = None
    protocol: str | None = None
    port: Int32 | None = None
    app_protocol: str | None = None


class EndpointSlice(Object):
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] = []
    address_type: str = required("")


ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
ADDRESSES_MAX = 100
ENDPOINTS_MAX = 1000
PORTS_MAX = 20000


def default(endpoint_slice: EndpointSlice) -> EndpointSlice:
    for port in endpoint_slice.ports:
        port.name = port.name or ""
        port.protocol = port.protocol or "TCP"
    return endpoint_slice


def validate(endpoint_slice: EndpointSlice) -> list[FieldError]:
    errors = validate_metadata(endpoint_slice.metadata)
    if not endpoint_slice.address_type:
        errors.append(FieldError.required("addressType"))
    elif endpoint_slice.address_type not in ADDRESS_TYPES:
        errors.append(FieldError.not_supported("addressType", endpoint_slice.address_type, ADDRESS_TYPES))
    if len(endpoint_slice.endpoints) > ENDPOINTS_MAX:
        errors.append(FieldError.too_many("endpoints", len(endpoint_slice.endpoints), ENDPOINTS_MAX))
        return errors
    for index, endpoint in enumerate(endpoint_slice.endpoints):
        errors += _endpoint_errors(endpoint, endpoint_slice.address_type, f"endpoints[{index}]")
    if len(endpoint_slice.ports) > PORTS_MAX:
        errors.append(FieldError.too_many("ports", len(endpoint_slice.ports), PORTS_MAX))
        return errors
    names: set[str] = set()
    for index, port in enumerate(endpoint_slice.ports):
        errors += _port_errors(port, f"ports[{index}]", names)
    return errors


def _endpoint_errors(endpoint: Endpoint, address_type: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not endpoint.addresses:
        errors.append(FieldError.required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(endpoint.addresses) > ADDRESSES_MAX:
        errors.append(FieldError.too_many(f"{path}.addresses", len(endpoint.addresses), ADDRESSES_MAX))
    for index, address in enumerate(endpoint.addresses):
        here = f"{path}.addresses[{index}]"
        if address_type == "FQDN":
            errors += FieldError.invalid_each(here, address, dns_subdomain_faults(address))
        else:
            errors += endpoint_ip_errors(address, here, family=address_type)
    if endpoint.node_name is not None:
        faults = dns_subdomain_faults(endpoint.node_name)
        errors += FieldError.invalid_each(f"{path}.nodeName", endpoint.node_name, faults)
    if endpoint.hostname is not None:
        errors += FieldError.invalid_each(f"{path}.hostname", endpoint.hostname, dns_label_faults(endpoint.hostname))
    return errors


def _port_errors(port: EndpointPort, path: str, names: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    name = port.name or ""
    if name:
        errors += FieldError.invalid_each(f"{path}.name", name, dns_label_faults(name))
    if name in names:
        errors.append(FieldError.duplicate(f"{path}.name", name))
    names.add(name)
    if not port.protocol:
        errors.append(FieldError.required(f"{path}.protocol"))
    elif port.protocol not in PROTOCOLS:
        errors.append(FieldError.not_supported(f"{path}.protocol", port.protocol, PROTOCOLS))
    if port.port is not None:
        errors += FieldError.invalid_each(f"{path}.port", port.port, port_number_faults(port.port))
    return errors


def validate_update(new: EndpointSlice, old: EndpointSlice) -> list[FieldError]:
    errors = validate_metadata_update(new.metadata, old.metadata) + validate(new)
    return errors + immutable("addressType", new.address_type, old.address_type)


def cells(endpoint_slice: EndpointSlice, now_s: float) -> list[Cell]:
    ports = [str(port.port) if port.port is not None else port.name or "*" for port in endpoint_slice.ports]
    addresses = [address for endpoint in endpoint_slice.endpoints for address in endpoint.addresses]
    return [
        endpoint_slice.metadata.name,
        endpoint_slice.address_type,
        shortened(ports, "<unset>"),
        shortened(addresses, "<unset>"),
        age(endpoint_slice.metadata.creation_timestamp, now_s),
    ]


RESOURCES = (
    ResourceInfo(
        group="discovery.k8s.io",
        version="v1",
        kind="EndpointSlice",
        plural="endpointslices",
        singular="endpointslice",
        struct=EndpointSlice,
        strategy=Strategy(has_generation=True),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE),
        cells=cells,
    ),
)
