"""Defaults of the pod spec, as every pod and every pod template gets them. Changes the spec in place."""

from collections.abc import Iterable

from master.api.core.container import Container, EphemeralContainer, HTTPGetAction, LifecycleHandler, Probe
from master.api.core.env import EnvVar, ObjectFieldSelector, ResourceFieldSelector
from master.api.core.podspec import PodSecurityContext, PodSpec
from master.api.core.volumes import DownwardAPIVolumeFile, EmptyDirVolumeSource, Volume, VolumeProjection

DEFAULT_SCHEDULER = "default-scheduler"
DEFAULT_GRACE_S = 30
FILE_MODE = 0o644
TOKEN_LIFETIME_S = 3600

_VOLUME_SOURCES = tuple(name for name in Volume.__struct_fields__ if name != "name")


def default_pod_spec(spec: PodSpec) -> None:
    """Everything but what only a pod itself gets (`default_pod_only`)."""
    spec.restart_policy = spec.restart_policy or "Always"
    spec.dns_policy = spec.dns_policy or "ClusterFirst"
    spec.scheduler_name = spec.scheduler_name or DEFAULT_SCHEDULER
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = DEFAULT_GRACE_S
    if spec.security_context is None:
        spec.security_context = PodSecurityContext()
    # `serviceAccount` is the old name of `serviceAccountName`; both are always shown.
    spec.service_account_name = spec.service_account = spec.service_account_name or spec.service_account
    for volume in spec.volumes:
        _default_volume(volume)
    for containers in (spec.containers, spec.init_containers):
        for container in containers:
            _default_container(container)
    for debugger in spec.ephemeral_containers:
        _default_container(debugger)


def default_pod_only(spec: PodSpec) -> None:
    """What a pod gets but a template does not: service links, requests out of limits, host ports."""
    if spec.enable_service_links is None:
        spec.enable_service_links = True
    for containers in (spec.containers, spec.init_containers):
        for container in containers:
            resources = container.resources
            if resources.limits:
                resources.requests = {**resources.limits, **resources.requests}
            if spec.host_network:
                for port in container.ports:
                    port.host_port = port.host_port or port.container_port


def pull_policy(image: str) -> str:
    """Images that may change under their name are always pulled: tag `latest`, or no tag and no digest."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_container(container: Container | EphemeralContainer) -> None:
    container.termination_message_path = container.termination_message_path or "/dev/termination-log"
    container.termination_message_policy = container.termination_message_policy or "File"
    container.image_pull_policy = container.image_pull_policy or pull_policy(container.image)
    for port in container.ports:
        port.protocol = port.protocol or "TCP"
    _default_env(container.env)
    for probe in (container.liveness_probe, container.readiness_probe, container.startup_probe):
        if probe is not None:
            _default_probe(probe)
    if container.lifecycle is not None:
        _default_handler(container.lifecycle.post_start)
        _default_handler(container.lifecycle.pre_stop)


def _default_env(env: Iterable[EnvVar]) -> None:
    for variable in env:
        source = variable.value_from
        if source is not None:
            _default_field_ref(source.field_ref)
            _default_resource_ref(source.resource_field_ref)


def _default_field_ref(reference: ObjectFieldSelector | None) -> None:
    if reference is not None:
        reference.api_version = reference.api_version or "v1"


def _default_resource_ref(reference: ResourceFieldSelector | None) -> None:
    if reference is not None and reference.divisor is None:
        reference.divisor = "0"


def _default_probe(probe: Probe) -> None:
    probe.timeout_seconds = probe.timeout_seconds or 1
    probe.period_seconds = probe.period_seconds or 10
    probe.success_threshold = probe.success_threshold or 1
    probe.failure_threshold = probe.failure_threshold or 3
    _default_http(probe.http_get)
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""


def _default_handler(handler: LifecycleHandler | None) -> None:
    if handler is not None:
        _default_http(handler.http_get)


def _default_http(action: HTTPGetAction | None) -> None:
    if action is not None:
        action.path = action.path or "/"
        action.scheme = action.scheme or "HTTP"


def _default_volume(volume: Volume) -> None:
    if all(getattr(volume, name) is None for name in _VOLUME_SOURCES):
        volume.empty_dir = EmptyDirVolumeSource()
        return
    for source in (volume.secret, volume.config_map, volume.downward_api, volume.projected):
        if source is not None and source.default_mode is None:
            source.default_mode = FILE_MODE
    if volume.host_path is not None and volume.host_path.type is None:
        volume.host_path.type = ""
    if volume.downward_api is not None:
        _default_files(volume.downward_api.items)
    if volume.projected is not None:
        for projection in volume.projected.sources:
            _default_projection(projection)
    if volume.image is not None and not volume.image.pull_policy:
        volume.image.pull_policy = pull_policy(volume.image.reference)
    if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
        claim = volume.ephemeral.volume_claim_template.spec
        claim.volume_mode = claim.volume_mode or "Filesystem"
    _default_network_disks(volume)


def _default_files(files: Iterable[DownwardAPIVolumeFile]) -> None:
    for file in files:
        _default_field_ref(file.field_ref)
        _default_resource_ref(file.resource_field_ref)


def _default_projection(projection: VolumeProjection) -> None:
    token = projection.service_account_token
    if token is not None and token.expiration_seconds is None:
        token.expiration_seconds = TOKEN_LIFETIME_S
    if projection.downward_api is not None:
        _default_files(projection.downward_api.items)


def _default_network_disks(volume: Volume) -> None:
    """Sources that no engine of ours mounts; their defaults keep stored objects equal to Kubernetes'."""
    if volume.iscsi is not None:
        volume.iscsi.iscsi_interface = volume.iscsi.iscsi_interface or "default"
    if volume.rbd is not None:
        volume.rbd.pool = volume.rbd.pool or "rbd"
        volume.rbd.user = volume.rbd.user or "admin"
        volume.rbd.keyring = volume.rbd.keyring or "/etc/ceph/keyring"
    if volume.scale_io is not None:
        volume.scale_io.storage_mode = volume.scale_io.storage_mode or "ThinProvisioned"
        volume.scale_io.fs_type = volume.scale_io.fs_type or "xfs"
