"""autoscaling.scale types of the Kubernetes API (1.36)."""

import msgspec

from master.api.meta import Object
from master.api.model import Int32, Model, required
from master.api.resource import ResourceInfo


class ScaleSpec(Model):
    replicas: Int32 = 0


class ScaleStatus(Model):
    replicas: Int32 = required(0)
    selector: str = ""


class Scale(Object):
    spec: ScaleSpec = msgspec.field(default_factory=ScaleSpec)
    status: ScaleStatus = msgspec.field(default_factory=ScaleStatus)


RESOURCES = (
    ResourceInfo(
        group="autoscaling",
        version="v1",
        kind="Scale",
        plural="",
        singular="scale",
        struct=Scale,
    ),
)
