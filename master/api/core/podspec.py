"""The pod spec and its template: shared by Pod and by every workload that makes pods."""

from typing import Annotated

import msgspec

from master.api.core.container import (
    AppArmorProfile,
    Container,
    EphemeralContainer,
    ResourceRequirements,
    SeccompProfile,
    SELinuxOptions,
    WindowsSecurityContextOptions,
)
from master.api.core.references import LocalObjectReference
from master.api.core.scheduling import Affinity, Toleration, TopologySpreadConstraint
from master.api.core.volumes import Volume
from master.api.meta import ObjectMeta
from master.api.model import Int32, MergeBy, Model, Quantity, required, required_list


class HostAlias(Model):
    ip: str = required("")
    hostnames: list[str] = []


class PodDNSConfigOption(Model):
    name: str = ""
    value: str | None = None


class PodDNSConfig(Model):
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[PodDNSConfigOption] = []


class PodOS(Model):
    name: str = required("")


class PodReadinessGate(Model):
    condition_type: str = required("")


class PodResourceClaim(Model):
    name: str = required("")
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class PodSchedulingGate(Model):
    name: str = required("")


class PodSchedulingGroup(Model):
    pod_group_name: str | None = None


class Sysctl(Model):
    name: str = required("")
    value: str = required("")


class PodSecurityContext(Model):
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    supplemental_groups_policy: str | None = None
    se_linux_change_policy: str | None = None
    run_as_user: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: list[int] = []
    fs_group: int | None = None
    run_as_group: int | None = None
    sysctls: list[Sysctl] = []
    windows_options: WindowsSecurityContextOptions | None = None
    fs_group_change_policy: str | None = None


class PodSpec(Model):
    volumes: Annotated[list[Volume], MergeBy("name", retain_keys=True)] = []
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    security_context: PodSecurityContext | None = None
    image_pull_secrets: Annotated[list[LocalObjectReference], MergeBy("name")] = []
    hostname: str = ""
    subdomain: str = ""
    affinity: Affinity | None = None
    scheduler_name: str = ""
    containers: Annotated[list[Container], MergeBy("name")] = required_list()
    init_containers: Annotated[list[Container], MergeBy("name")] = []
    automount_service_account_token: bool | None = None
    tolerations: list[Toleration] = []
    host_aliases: Annotated[list[HostAlias], MergeBy("ip")] = []
    priority_class_name: str = ""
    priority: Int32 | None = None
    dns_config: PodDNSConfig | None = None
    share_process_namespace: bool | None = None
    readiness_gates: list[PodReadinessGate] = []
    runtime_class_name: str | None = None
    restart_policy: str = ""
    enable_service_links: bool | None = None
    preemption_policy: str | None = None
    overhead: dict[str, Quantity] = {}
    topology_spread_constraints: Annotated[
        list[TopologySpreadConstraint], MergeBy("topologyKey", keys=("topologyKey", "whenUnsatisfiable"))
    ] = []
    ephemeral_containers: Annotated[list[EphemeralContainer], MergeBy("name")] = []
    set_hostname_as_fqdn: bool | None = msgspec.field(default=None, name="setHostnameAsFQDN")
    os: PodOS | None = None
    host_users: bool | None = None
    scheduling_gates: Annotated[list[PodSchedulingGate], MergeBy("name")] = []
    resource_claims: Annotated[list[PodResourceClaim], MergeBy("name", retain_keys=True)] = []
    termination_grace_period_seconds: int | None = None
    resources: ResourceRequirements | None = None
    hostname_override: str | None = None
    scheduling_group: PodSchedulingGroup | None = None
    active_deadline_seconds: int | None = None
    dns_policy: str = ""
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    service_account: str = ""


class PodTemplateSpec(Model):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
