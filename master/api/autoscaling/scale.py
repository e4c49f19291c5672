"""autoscaling.scale types of the Kubernetes API (1.36)."""

import msgspec

from master.api.meta import Object
from master.api.model import Int32, Model, required
from master.api.resource import AGE, Cell, Column, ResourceInfo
from master.api.status import FieldError
from master.api.timestamps import age
from master.api.validation.metadata import at_least_zero, validate_metadata


class ScaleSpec(Model):
    replicas: Int32 = 0


class ScaleStatus(Model):
    replicas: Int32 = required(0)
    selector: str = ""


class Scale(Object):
    spec: ScaleSpec = msgspec.field(default_factory=ScaleSpec)
    status: ScaleStatus = msgspec.field(default_factory=ScaleStatus)


def validate(scale: Scale) -> list[FieldError]:
    return validate_metadata(scale.metadata) + at_least_zero("spec.replicas", scale.spec.replicas)


def cells(scale: Scale, now_s: float) -> list[Cell]:
    created = age(scale.metadata.creation_timestamp, now_s)
    return [scale.metadata.name, scale.spec.replicas, scale.status.replicas, created]


RESOURCES = (
    ResourceInfo(
        group="autoscaling",
        version="v1",
        kind="Scale",
        plural="",
        singular="scale",
        struct=Scale,
        validate=validate,
        columns=(Column("Name"), Column("Desired", "integer"), Column("Available", "integer"), AGE),
        cells=cells,
    ),
)
