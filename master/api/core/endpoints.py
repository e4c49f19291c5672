"""core.endpoints types of the Kubernetes API (1.36)."""

from master.api.core.cells import SHOWN_MAX
from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.model import Int32, Model, required
from master.api.resource import AGE, NAME, Cell, Column, ResourceInfo
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import validate_metadata, validate_metadata_update
from master.api.validation.names import dns_label_faults, port_number_faults
from master.api.validation.network import endpoint_ip_errors
from master.api.validation.ports import PROTOCOLS


class EndpointAddress(Model):
    ip: str = required("")
    target_ref: ObjectReference | None = None
    hostname: str = ""
    node_name: str | None = None


class EndpointPort(Model):
    name: str = ""
    port: Int32 = required(0)
    protocol: str = ""
    app_protocol: str | None = None


class EndpointSubset(Model):
    addresses: list[EndpointAddress] = []
    not_ready_addresses: list[EndpointAddress] = []
    ports: list[EndpointPort] = []


class Endpoints(Object):
    subsets: list[EndpointSubset] = []


def default(endpoints: Endpoints) -> Endpoints:
    for subset in endpoints.subsets:
        for port in subset.ports:
            port.protocol = port.protocol or "TCP"
    return endpoints


def validate(endpoints: Endpoints) -> list[FieldError]:
    errors = validate_metadata(endpoints.metadata)
    for index, subset in enumerate(endpoints.subsets):
        path = f"subsets[{index}]"
        if not subset.addresses and not subset.not_ready_addresses:
            errors.append(FieldError.required(path, "must specify `addresses` or `notReadyAddresses`"))
        for name, addresses in (("addresses", subset.addresses), ("notReadyAddresses", subset.not_ready_addresses)):
            for position, address in enumerate(addresses):
                errors += endpoint_ip_errors(address.ip, f"{path}.{name}[{position}].ip")
        for position, port in enumerate(subset.ports):
            errors += _port_errors(port, f"{path}.ports[{position}]", name_needed=len(subset.ports) > 1)
    return errors


def _port_errors(port: EndpointPort, path: str, *, name_needed: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if name_needed and not port.name:
        errors.append(FieldError.required(f"{path}.name"))
    elif port.name:
        errors += FieldError.invalid_each(f"{path}.name", port.name, dns_label_faults(port.name))
    errors += FieldError.invalid_each(f"{path}.port", port.port, port_number_faults(port.port))
    if port.protocol not in PROTOCOLS:
        errors.append(FieldError.not_supported(f"{path}.protocol", port.protocol, PROTOCOLS))
    return errors


def validate_update(new: Endpoints, old: Endpoints) -> list[FieldError]:
    return validate_metadata_update(new.metadata, old.metadata) + validate(new)


def cells(endpoints: Endpoints, now_s: float) -> list[Cell]:
    return [endpoints.metadata.name, _listed(endpoints), age(endpoints.metadata.creation_timestamp, now_s)]


def _listed(endpoints: Endpoints) -> str:
    listed: list[str] = []
    for subset in endpoints.subsets:
        if not subset.ports:
            listed += [address.ip for address in subset.addresses]
        for port in subset.ports:
            listed += [f"{_bracketed(address.ip)}:{port.port}" for address in subset.addresses]
    if not listed:
        return "<none>"
    more = f" + {len(listed) - SHOWN_MAX} more..." if len(listed) > SHOWN_MAX else ""
    return ",".join(listed[:SHOWN_MAX]) + more


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Endpoints",
        plural="endpoints",
        singular="endpoints",
        short_names=("ep",),
        struct=Endpoints,
        strategy=Strategy(allow_create_on_update=True),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, Column("Endpoints"), AGE),
        cells=cells,
    ),
)
