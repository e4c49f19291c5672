"""core.replicationcontroller types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.cells import labels_cell
from master.api.core.pod import PodTemplateSpec
from master.api.core.podspec_defaults import default_pod_spec
from master.api.core.replicas import COLUMNS, replica_cells, replica_fields
from master.api.meta import Object
from master.api.model import Int32, MergeBy, Model, Time, required
from master.api.resource import SCALE, Cell, ResourceInfo, status_of
from master.api.selectors import selector_from
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import at_least_zero, validate_metadata, validate_metadata_update
from master.api.validation.podspec import validate_template


class ReplicationControllerSpec(Model):
    replicas: Int32 | None = None
    selector: dict[str, str] = {}
    template: PodTemplateSpec | None = None
    min_ready_seconds: Int32 = 0


class ReplicationControllerCondition(Model):
    type: str = required("")
    status: str = required("")
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class ReplicationControllerStatus(Model):
    replicas: Int32 = required(0)
    fully_labeled_replicas: Int32 = 0
    observed_generation: int = 0
    ready_replicas: Int32 = 0
    available_replicas: Int32 = 0
    conditions: Annotated[list[ReplicationControllerCondition], MergeBy("type")] = []


class ReplicationController(Object):
    spec: ReplicationControllerSpec = msgspec.field(default_factory=ReplicationControllerSpec)
    status: ReplicationControllerStatus = msgspec.field(default_factory=ReplicationControllerStatus)


def default(controller: ReplicationController) -> ReplicationController:
    """Selector and labels come out of the template when they are missing."""
    spec = controller.spec
    if spec.replicas is None:
        spec.replicas = 1
    if spec.template is not None:
        labels = spec.template.metadata.labels
        spec.selector = spec.selector or dict(labels)
        controller.metadata.labels = controller.metadata.labels or dict(labels)
        default_pod_spec(spec.template.spec)
    return controller


def validate(controller: ReplicationController) -> list[FieldError]:
    spec = controller.spec
    errors = validate_metadata(controller.metadata)
    errors += at_least_zero("spec.minReadySeconds", spec.min_ready_seconds)
    if not spec.selector:
        errors.append(FieldError.required("spec.selector"))
    errors += at_least_zero("spec.replicas", spec.replicas)
    selector = selector_from(spec.selector) if spec.selector else None
    return errors + validate_template(spec.template, "spec.template", selector, owner="ReplicationController")


def validate_update(new: ReplicationController, old: ReplicationController) -> list[FieldError]:
    return validate_metadata_update(new.metadata, old.metadata) + validate(new)


def cells(controller: ReplicationController, now_s: float) -> list[Cell]:
    spec, status = controller.spec, controller.status
    return replica_cells(
        controller.metadata.name,
        spec.replicas,
        status.replicas,
        status.ready_replicas,
        age(controller.metadata.creation_timestamp, now_s),
        spec.template.spec if spec.template else None,
        labels_cell(spec.selector),
    )


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="ReplicationController",
        plural="replicationcontrollers",
        singular="replicationcontroller",
        short_names=("rc",),
        categories=("all",),
        struct=ReplicationController,
        subresources={"scale": SCALE, "status": status_of("ReplicationController")},
        strategy=Strategy(has_generation=True, has_status=True, default_propagation="Orphan"),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=COLUMNS,
        cells=cells,
        own_fields=replica_fields,
    ),
)
