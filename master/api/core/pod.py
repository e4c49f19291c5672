"""Pod and its status, with the behaviour of the kind; PodTemplate has its own module."""

from typing import Annotated

import msgspec

from master.api.core.container import ContainerExtendedResourceRequest, ContainerStatus, ResourceRequirements
from master.api.core.node import NodeAllocatableResourceClaimStatus
from master.api.core.podspec import (
    HostAlias as HostAlias,
)
from master.api.core.podspec import (
    PodDNSConfig as PodDNSConfig,
)
from master.api.core.podspec import (
    PodDNSConfigOption as PodDNSConfigOption,
)
from master.api.core.podspec import (
    PodOS as PodOS,
)
from master.api.core.podspec import (
    PodReadinessGate as PodReadinessGate,
)
from master.api.core.podspec import (
    PodResourceClaim as PodResourceClaim,
)
from master.api.core.podspec import (
    PodSchedulingGate as PodSchedulingGate,
)
from master.api.core.podspec import (
    PodSchedulingGroup as PodSchedulingGroup,
)
from master.api.core.podspec import (
    PodSecurityContext as PodSecurityContext,
)
from master.api.core.podspec import (
    PodSpec as PodSpec,
)
from master.api.core.podspec import (
    PodTemplateSpec as PodTemplateSpec,
)
from master.api.core.podspec import (
    Sysctl as Sysctl,
)
from master.api.core.podtemplate import PodTemplate as PodTemplate
from master.api.meta import Object
from master.api.model import MergeBy, Model, Quantity, Time, required, required_list
from master.api.resource import CONNECT_VERBS, PROXY_VERBS, STATUS_VERBS, ResourceInfo, Subresource, status_of
from master.api.strategy import Strategy


class HostIP(Model):
    ip: str = required("")


class PodCondition(Model):
    type: str = required("")
    status: str = required("")
    last_probe_time: Time | None = None
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""
    observed_generation: int = 0


class PodExtendedResourceClaimStatus(Model):
    request_mappings: list[ContainerExtendedResourceRequest] = required_list()
    resource_claim_name: str = required("")


class PodIP(Model):
    ip: str = required("")


class PodResourceClaimStatus(Model):
    name: str = required("")
    resource_claim_name: str | None = None


class PodStatus(Model):
    phase: str = ""
    init_container_statuses: list[ContainerStatus] = []
    nominated_node_name: str = ""
    pod_ips: Annotated[list[PodIP], MergeBy("ip")] = msgspec.field(default_factory=list, name="podIPs")
    ephemeral_container_statuses: list[ContainerStatus] = []
    resize: str = ""
    resource_claim_statuses: Annotated[list[PodResourceClaimStatus], MergeBy("name", retain_keys=True)] = []
    host_ips: Annotated[list[HostIP], MergeBy("ip")] = msgspec.field(default_factory=list, name="hostIPs")
    observed_generation: int = 0
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None
    allocated_resources: dict[str, Quantity] = {}
    conditions: Annotated[list[PodCondition], MergeBy("type")] = []
    resources: ResourceRequirements | None = None
    node_allocatable_resource_claim_statuses: list[NodeAllocatableResourceClaimStatus] = []
    message: str = ""
    reason: str = ""
    host_ip: str = msgspec.field(default="", name="hostIP")
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: Time | None = None
    container_statuses: list[ContainerStatus] = []
    qos_class: str = ""


class Pod(Object):
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


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
        strategy=Strategy(has_generation=True, has_status=True, graceful_delete=True, delete_returns_object=True),
    ),
)
