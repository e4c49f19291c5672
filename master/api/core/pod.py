"""The kind Pod. Spec, status and table row have modules of their own and are named here again."""

import msgspec

from master.api.core.pod_cells import pod_cells
from master.api.core.podspec import (
    HostAlias,
    PodDNSConfig,
    PodDNSConfigOption,
    PodOS,
    PodReadinessGate,
    PodResourceClaim,
    PodSchedulingGate,
    PodSchedulingGroup,
    PodSecurityContext,
    PodSpec,
    PodTemplateSpec,
    Sysctl,
)
from master.api.core.podspec_defaults import default_pod_only, default_pod_spec
from master.api.core.podstatus import (
    HostIP,
    PodCondition,
    PodExtendedResourceClaimStatus,
    PodIP,
    PodResourceClaimStatus,
    PodStatus,
)
from master.api.core.podtemplate import PodTemplate
from master.api.core.qos import qos_class
from master.api.meta import Object
from master.api.resource import (
    AGE,
    CONNECT_VERBS,
    NAME,
    PROXY_VERBS,
    STATUS_VERBS,
    Column,
    ResourceInfo,
    Subresource,
    Tree,
    status_of,
    wide,
)
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.validation.metadata import validate_metadata, validate_metadata_update
from master.api.validation.podspec import validate_pod_spec
from master.api.validation.podupdate import validate_pod_spec_update

__all__ = [
    "RESOURCES",
    "HostAlias",
    "HostIP",
    "Pod",
    "PodCondition",
    "PodDNSConfig",
    "PodDNSConfigOption",
    "PodExtendedResourceClaimStatus",
    "PodIP",
    "PodOS",
    "PodReadinessGate",
    "PodResourceClaim",
    "PodResourceClaimStatus",
    "PodSchedulingGate",
    "PodSchedulingGroup",
    "PodSecurityContext",
    "PodSpec",
    "PodStatus",
    "PodTemplate",
    "PodTemplateSpec",
    "Sysctl",
]


class Pod(Object):
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


def default(pod: Pod) -> Pod:
    default_pod_spec(pod.spec)
    default_pod_only(pod.spec)
    return pod


def initial_status(pod: Pod) -> PodStatus:
    """A new pod is Pending; one with scheduling gates says that it waits for them."""
    status = PodStatus(phase="Pending", qos_class=qos_class(pod.spec))
    if pod.spec.scheduling_gates:
        message = "Scheduling is blocked due to non-empty scheduling gates"
        gated = PodCondition(type="PodScheduled", status="False", reason="SchedulingGated", message=message)
        status.conditions = [gated]
    return status


def _start(pod: Pod) -> None:
    pod.status = initial_status(pod)


def _keep_quality(new: Pod, old: Pod) -> None:
    """The quality of service is decided at creation; a node's report does not change it."""
    new.status.qos_class = old.status.qos_class or new.status.qos_class


def validate(pod: Pod) -> list[FieldError]:
    errors = validate_metadata(pod.metadata)
    errors += validate_pod_spec(pod.spec, "spec")
    if pod.spec.ephemeral_containers:
        errors.append(FieldError.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return errors


def validate_update(new: Pod, old: Pod) -> list[FieldError]:
    errors = validate_metadata(new.metadata)
    errors += validate_metadata_update(new.metadata, old.metadata)
    if new.spec != old.spec:
        errors += validate_pod_spec(new.spec, "spec")
        errors += validate_pod_spec_update(new.spec, old.spec)
    return errors


def own_fields(tree: Tree) -> dict[str, str]:
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    addresses = status.get("podIPs") or []
    return {
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.restartPolicy": spec.get("restartPolicy", ""),
        "spec.schedulerName": spec.get("schedulerName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase", ""),
        "status.podIP": addresses[0].get("ip", "") if addresses else status.get("podIP", ""),
        "status.podIPs": addresses[0].get("ip", "") if addresses else "",
        "status.nominatedNodeName": status.get("nominatedNodeName", ""),
    }


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Pod",
        plural="pods",
        singular="pod",
        short_names=("po",),
        categories=("all",),
        struct=Pod,
        subresources={
            "attach": Subresource("", "", "PodAttachOptions", CONNECT_VERBS),
            "binding": Subresource("", "", "Binding", ("create",)),
            "ephemeralcontainers": Subresource("", "", "Pod", STATUS_VERBS),
            "eviction": Subresource("policy", "v1", "Eviction", ("create",)),
            "exec": Subresource("", "", "PodExecOptions", CONNECT_VERBS),
            "log": Subresource("", "", "Pod", ("get",)),
            "portforward": Subresource("", "", "PodPortForwardOptions", CONNECT_VERBS),
            "proxy": Subresource("", "", "PodProxyOptions", PROXY_VERBS),
            "resize": Subresource("", "", "Pod", STATUS_VERBS),
            "status": status_of("Pod"),
        },
        strategy=Strategy(
            has_generation=True,
            has_status=True,
            graceful_delete=True,
            delete_returns_object=True,
            on_create=_start,
            on_status=_keep_quality,
        ),
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(
            NAME,
            Column("Ready"),
            Column("Status"),
            Column("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ),
        cells=pod_cells,
        own_fields=own_fields,
    ),
)
