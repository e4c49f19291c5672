"""apps.deployment types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.cells import names_and_images, selector_cell
from master.api.core.pod import PodTemplateSpec
from master.api.core.podspec_defaults import default_pod_spec
from master.api.meta import LabelSelector, Object
from master.api.model import RETAIN_KEYS, Int32, IntOrString, MergeBy, Model, Time, required
from master.api.resource import AGE, NAME, SCALE, Cell, Column, ResourceInfo, status_of, wide
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import at_least_zero, immutable, validate_metadata, validate_metadata_update
from master.api.validation.workload import (
    is_zero,
    percent_of,
    validate_count_or_percent,
    validate_selector_and_template,
)


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


DEFAULT_STEP = "25%"
DEFAULT_HISTORY = 10
DEFAULT_DEADLINE_S = 600


def default(deployment: Deployment) -> Deployment:
    spec = deployment.spec
    if spec.replicas is None:
        spec.replicas = 1
    if spec.revision_history_limit is None:
        spec.revision_history_limit = DEFAULT_HISTORY
    if spec.progress_deadline_seconds is None:
        spec.progress_deadline_seconds = DEFAULT_DEADLINE_S
    strategy = spec.strategy
    strategy.type = strategy.type or "RollingUpdate"
    if strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update = strategy.rolling_update or RollingUpdateDeployment()
        if rolling.max_unavailable is None:
            rolling.max_unavailable = DEFAULT_STEP
        if rolling.max_surge is None:
            rolling.max_surge = DEFAULT_STEP
    default_pod_spec(spec.template.spec)
    return deployment


def validate(deployment: Deployment) -> list[FieldError]:
    spec = deployment.spec
    errors = validate_metadata(deployment.metadata)
    errors += at_least_zero("spec.replicas", spec.replicas)
    errors += validate_selector_and_template(spec.selector, spec.template, owner="deployment")
    errors += _strategy_errors(spec.strategy)
    errors += at_least_zero("spec.minReadySeconds", spec.min_ready_seconds)
    errors += at_least_zero("spec.revisionHistoryLimit", spec.revision_history_limit)
    deadline_s = spec.progress_deadline_seconds
    errors += at_least_zero("spec.progressDeadlineSeconds", deadline_s)
    if deadline_s is not None and deadline_s <= spec.min_ready_seconds:
        detail = "must be greater than minReadySeconds"
        errors.append(FieldError.invalid("spec.progressDeadlineSeconds", deadline_s, detail))
    return errors


def _strategy_errors(strategy: DeploymentStrategy) -> list[FieldError]:
    path = "spec.strategy"
    rolling = strategy.rolling_update
    if strategy.type == "Recreate":
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [FieldError.forbidden(f"{path}.rollingUpdate", detail)] if rolling is not None else []
    if strategy.type != "RollingUpdate":
        return [FieldError.not_supported(f"{path}.type", strategy.type, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [FieldError.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
    errors = validate_count_or_percent(rolling.max_unavailable, f"{path}.rollingUpdate.maxUnavailable")
    errors += validate_count_or_percent(rolling.max_surge, f"{path}.rollingUpdate.maxSurge")
    if is_zero(rolling.max_unavailable) and is_zero(rolling.max_surge):
        detail = "may not be 0 when `maxSurge` is 0"
        errors.append(FieldError.invalid(f"{path}.rollingUpdate.maxUnavailable", rolling.max_unavailable, detail))
    if (percent_of(rolling.max_unavailable) or 0) > 100:
        detail = "must not be greater than 100%"
        errors.append(FieldError.invalid(f"{path}.rollingUpdate.maxUnavailable", rolling.max_unavailable, detail))
    return errors


def validate_update(new: Deployment, old: Deployment) -> list[FieldError]:
    errors = validate_metadata_update(new.metadata, old.metadata) + validate(new)
    return errors + immutable("spec.selector", new.spec.selector, old.spec.selector)


def cells(deployment: Deployment, now_s: float) -> list[Cell]:
    spec, status = deployment.spec, deployment.status
    return [
        deployment.metadata.name,
        f"{status.ready_replicas}/{spec.replicas or 0}",
        status.updated_replicas,
        status.available_replicas,
        age(deployment.metadata.creation_timestamp, now_s),
        *names_and_images(spec.template.spec),
        selector_cell(spec.selector),
    ]


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
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(
            NAME,
            Column("Ready"),
            Column("Up-to-date"),
            Column("Available"),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ),
        cells=cells,
    ),
)
