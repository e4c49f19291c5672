"""The status of a pod, as its node reports it."""

from typing import Annotated

import msgspec

from master.api.core.container import ContainerExtendedResourceRequest, ContainerStatus, ResourceRequirements
from master.api.core.node import NodeAllocatableResourceClaimStatus
from master.api.model import MergeBy, Model, Quantity, Time, required, required_list


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
