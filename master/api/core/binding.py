"""core.binding types of the Kubernetes API (1.36)."""

import msgspec

from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.resource import ResourceInfo


class Binding(Object):
    target: ObjectReference = msgspec.field(default_factory=ObjectReference)


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Binding",
        plural="bindings",
        singular="binding",
        struct=Binding,
        verbs=("create",),
    ),
)
