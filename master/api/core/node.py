"""core.node types of the Kubernetes API (1.36)."""

from ipaddress import ip_network
from typing import Annotated

import msgspec

from master.api.meta import Object
from master.api.model import MERGE_SET, SET, Int32, MergeBy, Model, Quantity, Time, required
from master.api.quantity import canonical, nanos_of
from master.api.resource import AGE, NAME, PROXY_VERBS, Cell, Column, ResourceInfo, Subresource, Tree, status_of, wide
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import validate_metadata, validate_metadata_update
from master.api.validation.names import label_key_faults, label_value_faults


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


ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def default(node: Node) -> Node:
    """Both forms of the pod address range are kept equal; allocatable falls back to capacity."""
    if node.spec.pod_cidr and not node.spec.pod_cidrs:
        node.spec.pod_cidrs = [node.spec.pod_cidr]
    elif node.spec.pod_cidrs and not node.spec.pod_cidr:
        node.spec.pod_cidr = node.spec.pod_cidrs[0]
    if not node.status.allocatable and node.status.capacity:
        node.status.allocatable = dict(node.status.capacity)
    return node


def validate(node: Node) -> list[FieldError]:
    errors = validate_metadata(node.metadata, namespaced=False)
    errors += _taint_errors(node.spec.taints)
    for index, cidr in enumerate(node.spec.pod_cidrs):
        try:
            ip_network(cidr, strict=False)
        except ValueError:
            detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            errors.append(FieldError.invalid(f"spec.podCIDRs[{index}]", cidr, detail))
    for name, amounts in (("capacity", node.status.capacity), ("allocatable", node.status.allocatable)):
        for resource, amount in amounts.items():
            if nanos_of(amount) < 0:
                detail = "must be greater than or equal to 0"
                errors.append(FieldError.invalid(f"status.{name}.{resource}", canonical(amount), detail))
    return errors


def _taint_errors(taints: list[Taint]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"spec.taints[{index}]"
        errors += FieldError.invalid_each(f"{path}.key", taint.key, label_key_faults(taint.key))
        errors += FieldError.invalid_each(f"{path}.value", taint.value, label_value_faults(taint.value))
        if not taint.effect:
            errors.append(FieldError.required(f"{path}.effect"))
        elif taint.effect not in TAINT_EFFECTS:
            errors.append(FieldError.not_supported(f"{path}.effect", taint.effect, TAINT_EFFECTS))
        if (taint.key, taint.effect) in seen:
            errors.append(FieldError.duplicate(path, taint))
        seen.add((taint.key, taint.effect))
    return errors


def validate_update(new: Node, old: Node) -> list[FieldError]:
    errors = validate_metadata_update(new.metadata, old.metadata) + validate(new)
    for name, after, before in (
        ("podCIDRs", new.spec.pod_cidrs, old.spec.pod_cidrs),
        ("providerID", new.spec.provider_id, old.spec.provider_id),
    ):
        if before and after != before:
            detail = f'node updates may not change {name.rstrip("s")} except from "" to valid'
            errors.append(FieldError.forbidden(f"spec.{name}", detail))
    return errors


def cells(node: Node, now_s: float) -> list[Cell]:
    info = node.status.node_info
    kernel = f"{info.kernel_version} ({info.architecture})" if info.architecture else info.kernel_version
    return [
        node.metadata.name,
        _readiness(node),
        _roles(node),
        age(node.metadata.creation_timestamp, now_s),
        info.kubelet_version,
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.os_image or "<unknown>",
        kernel if info.kernel_version else "<unknown>",
        info.container_runtime_version or "<unknown>",
    ]


def _readiness(node: Node) -> str:
    ready = next((condition for condition in node.status.conditions if condition.type == "Ready"), None)
    text = "Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if node.spec.unschedulable else text


def _roles(node: Node) -> str:
    labels = node.metadata.labels
    roles = {key[len(ROLE_PREFIX) :] for key in labels if key.startswith(ROLE_PREFIX) and key != ROLE_PREFIX}
    if labels.get(ROLE_LABEL):
        roles.add(labels[ROLE_LABEL])
    return ",".join(sorted(roles)) or "<none>"


def _address(node: Node, address_type: str) -> str:
    return next((entry.address for entry in node.status.addresses if entry.type == address_type), "<none>")


def own_fields(tree: Tree) -> dict[str, str]:
    return {"spec.unschedulable": "true" if (tree.get("spec") or {}).get("unschedulable") else "false"}


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
        default=default,
        validate=validate,
        validate_update=validate_update,
        columns=(
            NAME,
            Column("Status"),
            Column("Roles"),
            AGE,
            Column("Version"),
            wide("Internal-IP"),
            wide("External-IP"),
            wide("OS-Image"),
            wide("Kernel-Version"),
            wide("Container-Runtime"),
        ),
        cells=cells,
        own_fields=own_fields,
    ),
)
