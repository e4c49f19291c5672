"""Validation of ports: of containers, of probes, of services."""

from collections.abc import Sequence

from master.api.core.container import Container, ContainerPort, EphemeralContainer
from master.api.model import IntOrString
from master.api.status import FieldError
from master.api.validation.names import port_name_faults, port_number_faults

PROTOCOLS = ("SCTP", "TCP", "UDP")


def validate_container_ports(ports: Sequence[ContainerPort], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if port.name:
            faults = port_name_faults(port.name)
            errors += FieldError.invalid_each(f"{here}.name", port.name, faults)
            if not faults and port.name in names:
                errors.append(FieldError.duplicate(f"{here}.name", port.name))
            names.add(port.name)
        if port.container_port == 0:
            errors.append(FieldError.required(f"{here}.containerPort"))
        else:
            errors += _numbers(f"{here}.containerPort", port.container_port)
        if port.host_port != 0:
            errors += _numbers(f"{here}.hostPort", port.host_port)
        if not port.protocol:
            errors.append(FieldError.required(f"{here}.protocol"))
        elif port.protocol not in PROTOCOLS:
            errors.append(FieldError.not_supported(f"{here}.protocol", port.protocol, PROTOCOLS))
    return errors


def _numbers(path: str, port: int) -> list[FieldError]:
    return FieldError.invalid_each(path, port, port_number_faults(port))


def validate_port(path: str, port: IntOrString | None) -> list[FieldError]:
    """A port by number or by name."""
    if isinstance(port, str):
        return FieldError.invalid_each(path, port, port_name_faults(port))
    return _numbers(path, port or 0)


def host_port_conflicts(containers: Sequence[Container | EphemeralContainer], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for position, container in enumerate(containers):
        for index, port in enumerate(container.ports):
            if not port.host_port:
                continue
            claim = f"{port.protocol}/{port.host_ip}/{port.host_port}"
            if claim in taken:
                errors.append(FieldError.duplicate(f"{path}[{position}].ports[{index}].hostPort", claim))
            taken.add(claim)
    return errors
