"""core.container types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.env import EnvFromSource, EnvVar
from master.api.model import SET, Int32, IntOrString, MergeBy, Model, Quantity, Time, required


class ContainerPort(Model):
    name: str = ""
    host_port: Int32 = 0
    container_port: Int32 = required(0)
    protocol: str = ""
    host_ip: str = msgspec.field(default="", name="hostIP")


class ContainerResizePolicy(Model):
    resource_name: str = required("")
    restart_policy: str = required("")


class ContainerRestartRuleOnExitCodes(Model):
    operator: str = required("")
    values: Annotated[list[Int32], SET] = []


class ContainerRestartRule(Model):
    action: str = required("")
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


class ExecAction(Model):
    command: list[str] = []


class HTTPHeader(Model):
    name: str = required("")
    value: str = required("")


class HTTPGetAction(Model):
    path: str = ""
    port: IntOrString | None = None
    host: str = ""
    scheme: str = ""
    http_headers: list[HTTPHeader] = []


class SleepAction(Model):
    seconds: int = required(0)


class TCPSocketAction(Model):
    port: IntOrString | None = None
    host: str = ""


class LifecycleHandler(Model):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Model):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None


class GRPCAction(Model):
    port: Int32 = required(0)
    service: str | None = None


class Probe(Model):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: Int32 = 0
    timeout_seconds: Int32 = 0
    period_seconds: Int32 = 0
    success_threshold: Int32 = 0
    failure_threshold: Int32 = 0
    termination_grace_period_seconds: int | None = None


class ResourceClaim(Model):
    name: str = required("")
    request: str = ""


class ResourceRequirements(Model):
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    claims: Annotated[list[ResourceClaim], MergeBy(keys=("name",))] = []


class AppArmorProfile(Model):
    type: str = required("")
    localhost_profile: str | None = None


class Capabilities(Model):
    add: list[str] = []
    drop: list[str] = []


class SELinuxOptions(Model):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SeccompProfile(Model):
    type: str = required("")
    localhost_profile: str | None = None


class WindowsSecurityContextOptions(Model):
    gmsa_credential_spec_name: str | None = None
    gmsa_credential_spec: str | None = None
    run_as_user_name: str | None = None
    host_process: bool | None = None


class SecurityContext(Model):
    capabilities: Capabilities | None = None
    windows_options: WindowsSecurityContextOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    privileged: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    run_as_user: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    run_as_group: int | None = None
    proc_mount: str | None = None


class VolumeDevice(Model):
    name: str = required("")
    device_path: str = required("")


class VolumeMount(Model):
    name: str = required("")
    read_only: bool = False
    mount_path: str = required("")
    sub_path: str = ""
    mount_propagation: str | None = None
    sub_path_expr: str = ""
    recursive_read_only: str | None = None


class Container(Model):
    name: str = required("")
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = ""
    image_pull_policy: str = ""
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    env_from: list[EnvFromSource] = []
    image: str = ""
    termination_message_policy: str = ""
    volume_devices: Annotated[list[VolumeDevice], MergeBy("devicePath")] = []
    startup_probe: Probe | None = None
    resize_policy: list[ContainerResizePolicy] = []
    restart_policy: str | None = None
    restart_policy_rules: list[ContainerRestartRule] = []
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    ports: Annotated[list[ContainerPort], MergeBy("containerPort", keys=("containerPort", "protocol"))] = []
    env: Annotated[list[EnvVar], MergeBy("name")] = []
    resources: ResourceRequirements = msgspec.field(default_factory=ResourceRequirements)
    volume_mounts: Annotated[list[VolumeMount], MergeBy("mountPath")] = []


class EphemeralContainer(Model):
    name: str = required("")
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = ""
    image_pull_policy: str = ""
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    env_from: list[EnvFromSource] = []
    image: str = ""
    termination_message_policy: str = ""
    volume_devices: Annotated[list[VolumeDevice], MergeBy("devicePath")] = []
    startup_probe: Probe | None = None
    resize_policy: list[ContainerResizePolicy] = []
    restart_policy: str | None = None
    restart_policy_rules: list[ContainerRestartRule] = []
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    ports: Annotated[list[ContainerPort], MergeBy("containerPort", keys=("containerPort", "protocol"))] = []
    env: Annotated[list[EnvVar], MergeBy("name")] = []
    resources: ResourceRequirements = msgspec.field(default_factory=ResourceRequirements)
    volume_mounts: Annotated[list[VolumeMount], MergeBy("mountPath")] = []
    target_container_name: str = ""


class ContainerStateRunning(Model):
    started_at: Time | None = None


class ContainerStateTerminated(Model):
    exit_code: Int32 = required(0)
    signal: Int32 = 0
    reason: str = ""
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None
    container_id: str = msgspec.field(default="", name="containerID")


class ContainerStateWaiting(Model):
    reason: str = ""
    message: str = ""


class ContainerState(Model):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class LinuxContainerUser(Model):
    uid: int = required(0)
    gid: int = required(0)
    supplemental_groups: list[int] = []


class ContainerUser(Model):
    linux: LinuxContainerUser | None = None


class ResourceHealth(Model):
    resource_id: str = required("", name="resourceID")
    health: str = ""
    message: str | None = None


class ResourceStatus(Model):
    name: str = required("")
    resources: Annotated[list[ResourceHealth], MergeBy(keys=("resourceID",))] = []


class ImageVolumeStatus(Model):
    image_ref: str = required("")


class VolumeStatus(Model):
    image: ImageVolumeStatus | None = None


class VolumeMountStatus(Model):
    name: str = required("")
    mount_path: str = required("")
    read_only: bool = False
    recursive_read_only: str | None = None
    volume_status: VolumeStatus | None = None


class ContainerStatus(Model):
    name: str = required("")
    allocated_resources: dict[str, Quantity] = {}
    resources: ResourceRequirements | None = None
    volume_mounts: Annotated[list[VolumeMountStatus], MergeBy("mountPath")] = []
    user: ContainerUser | None = None
    allocated_resources_status: Annotated[list[ResourceStatus], MergeBy("name")] = []
    stop_signal: str | None = None
    state: ContainerState = msgspec.field(default_factory=ContainerState)
    last_state: ContainerState = msgspec.field(default_factory=ContainerState)
    ready: bool = required(False)
    restart_count: Int32 = required(0)
    image: str = required("")
    image_id: str = required("", name="imageID")
    container_id: str = msgspec.field(default="", name="containerID")
    started: bool | None = None


class ContainerExtendedResourceRequest(Model):
    container_name: str = required("")
    resource_name: str = required("")
    request_name: str = required("")
