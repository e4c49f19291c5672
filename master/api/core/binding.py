"""core.binding types of the Kubernetes API (1.36)."""

import msgspec

from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.resource import ResourceInfo
from master.api.status import FieldError


class Binding(Object):
    target: ObjectReference = msgspec.field(default_factory=ObjectReference)


def validate(binding: Binding) -> list[FieldError]:
    """Only nodes can be bound to; an empty kind means one."""
    errors: list[FieldError] = []
    if binding.target.kind not in ("", "Node"):
        errors.append(FieldError.not_supported("target.kind", binding.target.kind, ("Node", "<empty>")))
    if not binding.target.name:
        errors.append(FieldError.required("target.name"))
    return errors


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Binding",
        plural="bindings",
        singular="binding",
        struct=Binding,
        verbs=("create",),
        validate=validate,
    ),
)
