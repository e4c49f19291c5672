"""core.namespace types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.meta import Object
from master.api.model import MergeBy, Model, Time, required
from master.api.resource import READ_WRITE, ResourceInfo, Subresource, status_of
from master.api.strategy import Strategy


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


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Namespace",
        plural="namespaces",
        singular="namespace",
        short_names=("ns",),
        namespaced=False,
        struct=Namespace,
        verbs=tuple(verb for verb in READ_WRITE if verb != "deletecollection"),
        subresources={"finalize": Subresource("", "", "Namespace", ("update",)), "status": status_of("Namespace")},
        strategy=Strategy(has_status=True, delete_returns_object=True),
    ),
)
