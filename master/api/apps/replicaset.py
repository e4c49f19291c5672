"""apps.replicaset types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.pod import PodTemplateSpec
from master.api.meta import LabelSelector, Object
from master.api.model import Int32, MergeBy, Model, Time, required
from master.api.resource import SCALE, ResourceInfo, status_of
from master.api.strategy import Strategy


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
    ),
)
