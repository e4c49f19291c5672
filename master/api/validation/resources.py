"""Validation of resource limits and requests."""

from master.api.core.container import ResourceRequirements
from master.api.model import Quantity
from master.api.quantity import canonical, nanos_of
from master.api.status import FieldError
from master.api.validation.names import label_key_faults

_STANDARD_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})


def validate_resources(resources: ResourceRequirements, path: str) -> list[FieldError]:
    """Limits and requests: known names, no negative amounts, no request above its limit."""
    errors: list[FieldError] = []
    for name, limit in resources.limits.items():
        errors += _amount_errors(name, limit, f"{path}.limits[{name}]")
    for name, request in resources.requests.items():
        errors += _amount_errors(name, request, f"{path}.requests[{name}]")
        maximum = resources.limits.get(name)
        if maximum is not None:
            if _extended(name) and nanos_of(request) != nanos_of(maximum):
                detail = f"must be equal to {name} limit of {canonical(maximum)}"
                errors.append(FieldError.invalid(f"{path}.requests", canonical(request), detail))
            elif nanos_of(request) > nanos_of(maximum):
                detail = f"must be less than or equal to {name} limit of {canonical(maximum)}"
                errors.append(FieldError.invalid(f"{path}.requests", canonical(request), detail))
        elif _extended(name):
            detail = "Limit must be set for non overcommitable resources"
            errors.append(FieldError.required(f"{path}.limits", detail))
    return errors


def _extended(name: str) -> bool:
    return name.startswith("hugepages-") or ("/" in name and not name.partition("/")[0].endswith("kubernetes.io"))


def _amount_errors(name: str, amount: Quantity, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
        errors += FieldError.invalid_each(path, name, label_key_faults(name))
        if "/" not in name:
            errors.append(FieldError.invalid(path, name, "must be a standard resource type or fully qualified"))
            errors.append(FieldError.invalid(path, name, "must be a standard resource for containers"))
    nanos = nanos_of(amount)
    if nanos < 0:
        errors.append(FieldError.invalid(path, canonical(amount), "must be greater than or equal to 0"))
    if _extended(name) and nanos % 10**9:
        errors.append(FieldError.invalid(path, canonical(amount), "must be an integer"))
    return errors
