"""apps.replicaset types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.cells import selector_cell
from master.api.core.pod import PodTemplateSpec
from master.api.core.podspec_defaults import default_pod_spec
from master.api.core.replicas import COLUMNS, replica_cells, replica_fields
from master.api.meta import LabelSelector, Object
from master.api.model import Int32, MergeBy, Model, Time, required
from master.api.resource import SCALE, Cell, ResourceInfo, status_of
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import at_least_zero, immutable, validate_metadata, validate_metadata_update
from master.api.validation.workload import validate_selector_and_template


class ReplicaSetSpec(Model):
    replicas: Int32 | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)
    min_ready_seconds: Int32 = 0


class ReplicaSetCondition(Model):
    type: str = required("")
    status: str = required("")
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class ReplicaSetStatus(Model):
    replicas: Int32 = required(0)
    fully_labeled_replicas: Int32 = 0
    observed_generation: int = 0
    ready_replicas: Int32 = 0
    available_replicas: Int32 = 0
    conditions: Annotated[list[ReplicaSetCondition], MergeBy("type")] = []
    terminating_replicas: Int32 | None = None


class ReplicaSet(Object):
    spec: ReplicaSetSpec = msgspec.field(default_factory=ReplicaSetSpec)
    status: ReplicaSetStatus = msgspec.field(default_factory=ReplicaSetStatus)


def default(replica_set: ReplicaSet) -> ReplicaSet:
    spec = replica_set.spec
    if spec.replicas is None:
        spec.replicas = 1
    default_pod_spec(spec.template.spec)
    return replica_set


def validate(replica_set: ReplicaSet) -> list[FieldError]:
    spec = replica_set.spec
    errors = validate_metadata(replica_set.metadata)
    errors += at_least_zero("spec.replicas", spec.replicas)
    errors += at_least_zero("spec.minReadySeconds", spec.min_ready_seconds)
    return errors + validate_selector_and_template(spec.selector, spec.template, owner="replicaset")


def validate_update(new: ReplicaSet, old: ReplicaSet) -> list[FieldError]:
    errors = validate_metadata_update(new.metadata, old.metadata) + validate(new)
    return errors + immutable("spec.selector", new.spec.selector, old.spec.selector)


def cells(replica_set: ReplicaSet, now_s: float) -> list[Cell]:
    spec, status = replica_set.spec, replica_set.status
    return replica_cells(
        replica_set.metadata.name,
        spec.replicas,
        status.replicas,
        status.ready_replicas,
        age(replica_set.metadata.creation_timestamp, now_s),
        spec.template.spec,
        selector_cell(spec.selector),
    )


RESOURCES = (
    ResourceInfo(
        group="apps",
        version="v1",
        kind="ReplicaSet",
        plural="replicasets",
        singular="replicaset",
        short_names=("rs",),
        categories=("all",),
        struct=ReplicaSet,
        subresources={"scale": SCALE, "status": status_of("ReplicaSet")},
        strategy=Strategy(has_generation=True, has_status=True),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=COLUMNS,
        cells=cells,
        own_fields=replica_fields,
    ),
)
