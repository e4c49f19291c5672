"""core.replicationcontroller types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.pod import PodTemplateSpec
from master.api.meta import Object
from master.api.model import Int32, MergeBy, Model, Time, required
from master.api.resource import SCALE, ResourceInfo, status_of
from master.api.strategy import Strategy


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
    ),
)
