"""apps.deployment types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.pod import PodTemplateSpec
from master.api.meta import LabelSelector, Object
from master.api.model import RETAIN_KEYS, Int32, IntOrString, MergeBy, Model, Time, required
from master.api.resource import SCALE, ResourceInfo, status_of
from master.api.strategy import Strategy


class RollingUpdateDeployment(Model):
    max_unavailable: IntOrString | None = None
    max_surge: IntOrString | None = None


class DeploymentStrategy(Model):
    type: str = ""
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Model):
    replicas: Int32 | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)
    strategy: Annotated[DeploymentStrategy, RETAIN_KEYS] = msgspec.field(default_factory=DeploymentStrategy)
    min_ready_seconds: Int32 = 0
    revision_history_limit: Int32 | None = None
    paused: bool = False
    progress_deadline_seconds: Int32 | None = None


class DeploymentCondition(Model):
    type: str = required("")
    status: str = required("")
    reason: str = ""
    message: str = ""
    last_update_time: Time | None = None
    last_transition_time: Time | None = None


class DeploymentStatus(Model):
    observed_generation: int = 0
    replicas: Int32 = 0
    updated_replicas: Int32 = 0
    available_replicas: Int32 = 0
    unavailable_replicas: Int32 = 0
    conditions: Annotated[list[DeploymentCondition], MergeBy("type")] = []
    ready_replicas: Int32 = 0
    collision_count: Int32 | None = None
    terminating_replicas: Int32 | None = None


class Deployment(Object):
    spec: DeploymentSpec = msgspec.field(default_factory=DeploymentSpec)
    status: DeploymentStatus = msgspec.field(default_factory=DeploymentStatus)


RESOURCES = (
    ResourceInfo(
        group="apps",
        version="v1",
        kind="Deployment",
        plural="deployments",
        singular="deployment",
        short_names=("deploy",),
        categories=("all",),
        struct=Deployment,
        subresources={"scale": SCALE, "status": status_of("Deployment")},
        strategy=Strategy(has_generation=True, has_status=True, status_keeps_labels=True),
    ),
)
