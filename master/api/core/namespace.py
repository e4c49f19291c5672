"""core.namespace types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.meta import Object
from master.api.model import MergeBy, Model, Time, required


class NamespaceSpec(Model):
    finalizers: list[str] = []


class NamespaceCondition(Model):
    type: str = required("")
    status: str = required("")
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class NamespaceStatus(Model):
    phase: str = ""
    conditions: Annotated[list[NamespaceCondition], MergeBy("type")] = []


class Namespace(Object):
    spec: NamespaceSpec = msgspec.field(default_factory=NamespaceSpec)
    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)
