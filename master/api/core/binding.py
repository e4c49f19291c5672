"""core.binding types of the Kubernetes API (1.36)."""

import msgspec

from master.api.core.references import ObjectReference
from master.api.meta import Object


class Binding(Object):
    target: ObjectReference = msgspec.field(default_factory=ObjectReference)
