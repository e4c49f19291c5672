"""core.node types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.meta import Object
from master.api.model import MERGE_SET, SET, Int32, MergeBy, Model, Quantity, Time, required
from master.api.resource import PROXY_VERBS, ResourceInfo, Subresource, status_of
from master.api.strategy import Strategy


class NodeAllocatableResourceClaimStatus(Model):
    resource_claim_name: str = required("")
    containers: Annotated[list[str], SET] = []
    resources: dict[str, Quantity] = {}


class ConfigMapNodeConfigSource(Model):
    name: str = required("")
    namespace: str = required("")
    uid: str = ""
    resource_version: str = ""
    kubelet_config_key: str = required("")


class NodeConfigSource(Model):
    config_map: ConfigMapNodeConfigSource | None = None


class Taint(Model):
    key: str = required("")
    value: str = ""
    effect: str = required("")
    time_added: Time | None = None


class NodeSpec(Model):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    external_id: str = msgspec.field(default="", name="externalID")
    provider_id: str = msgspec.field(default="", name="providerID")
    unschedulable: bool = False
    taints: list[Taint] = []
    config_source: NodeConfigSource | None = None
    pod_cidrs: Annotated[list[str], MERGE_SET] = msgspec.field(default_factory=list, name="podCIDRs")


class AttachedVolume(Model):
    name: str = required("")
    device_path: str = required("")


class ContainerImage(Model):
    names: list[str] = []
    size_bytes: int = 0


class NodeAddress(Model):
    type: str = required("")
    address: str = required("")


class NodeCondition(Model):
    type: str = required("")
    status: str = required("")
    last_heartbeat_time: Time | None = None
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class NodeConfigStatus(Model):
    assigned: NodeConfigSource | None = None
    active: NodeConfigSource | None = None
    last_known_good: NodeConfigSource | None = None
    error: str = ""


class DaemonEndpoint(Model):
    port: Int32 = required(0, name="Port")


class NodeDaemonEndpoints(Model):
    kubelet_endpoint: DaemonEndpoint = msgspec.field(default_factory=DaemonEndpoint)


class NodeFeatures(Model):
    supplemental_groups_policy: bool | None = None


class NodeRuntimeHandlerFeatures(Model):
    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeRuntimeHandler(Model):
    name: str = ""
    features: NodeRuntimeHandlerFeatures | None = None


class NodeSwapStatus(Model):
    capacity: int | None = None


class NodeSystemInfo(Model):
    machine_id: str = required("", name="machineID")
    architecture: str = required("")
    swap: NodeSwapStatus | None = None
    system_uuid: str = required("", name="systemUUID")
    boot_id: str = required("", name="bootID")
    kernel_version: str = required("")
    os_image: str = required("")
    container_runtime_version: str = required("")
    kubelet_version: str = required("")
    kube_proxy_version: str = required("")
    operating_system: str = required("")


class NodeStatus(Model):
    capacity: dict[str, Quantity] = {}
    volumes_attached: list[AttachedVolume] = []
    config: NodeConfigStatus | None = None
    runtime_handlers: list[NodeRuntimeHandler] = []
    features: NodeFeatures | None = None
    declared_features: list[str] = []
    allocatable: dict[str, Quantity] = {}
    phase: str = ""
    conditions: Annotated[list[NodeCondition], MergeBy("type")] = []
    addresses: Annotated[list[NodeAddress], MergeBy("type")] = []
    daemon_endpoints: NodeDaemonEndpoints = msgspec.field(default_factory=NodeDaemonEndpoints)
    node_info: NodeSystemInfo = msgspec.field(default_factory=NodeSystemInfo)
    images: list[ContainerImage] = []
    volumes_in_use: list[str] = []


class Node(Object):
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Node",
        plural="nodes",
        singular="node",
        short_names=("no",),
        namespaced=False,
        struct=Node,
        subresources={"proxy": Subresource("", "", "NodeProxyOptions", PROXY_VERBS), "status": status_of("Node")},
        strategy=Strategy(has_status=True, keeps_status_on_create=True),
    ),
)
