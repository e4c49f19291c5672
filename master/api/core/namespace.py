"""core.namespace types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.meta import Object
from master.api.model import MergeBy, Model, Time, required
from master.api.resource import AGE, NAME, READ_WRITE, Cell, Column, ResourceInfo, Subresource, Tree, status_of
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import validate_metadata, validate_metadata_update
from master.api.validation.names import dns_label_faults, label_key_faults


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


NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


def default(namespace: Namespace) -> Namespace:
    """Every namespace carries its own name as a label, so that selectors can name it."""
    if namespace.metadata.name:
        namespace.metadata.labels = {**namespace.metadata.labels, NAME_LABEL: namespace.metadata.name}
    return namespace


def _start(namespace: Namespace) -> None:
    namespace.status = NamespaceStatus(phase="Active")
    if FINALIZER not in namespace.spec.finalizers:
        namespace.spec.finalizers = [*namespace.spec.finalizers, FINALIZER]


def _keep_finalizers(new: Namespace, old: Namespace) -> None:
    """Only `/finalize` changes them."""
    new.spec.finalizers = old.spec.finalizers


def validate(namespace: Namespace) -> list[FieldError]:
    errors = validate_metadata(namespace.metadata, namespaced=False, name_faults=dns_label_faults)
    for index, finalizer in enumerate(namespace.spec.finalizers):
        errors += FieldError.invalid_each(f"spec.finalizers[{index}]", finalizer, label_key_faults(finalizer))
    return errors


def validate_update(new: Namespace, old: Namespace) -> list[FieldError]:
    return validate(new) + validate_metadata_update(new.metadata, old.metadata)


def cells(namespace: Namespace, now_s: float) -> list[Cell]:
    return [namespace.metadata.name, namespace.status.phase, age(namespace.metadata.creation_timestamp, now_s)]


def own_fields(tree: Tree) -> dict[str, str]:
    return {"status.phase": (tree.get("status") or {}).get("phase", "")}


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
        strategy=Strategy(has_status=True, delete_returns_object=True, on_create=_start, on_update=_keep_finalizers),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, Column("Status"), AGE),
        cells=cells,
        own_fields=own_fields,
    ),
)
