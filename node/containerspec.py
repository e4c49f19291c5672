"""The order to the engine for one container, out of the pod's spec and what was prepared for it. Pure.

Everything a container is made from comes together here; nothing is looked up.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from master.api.core.container import Container, VolumeMount
from master.api.core.pod import Pod
from node.engine.base import ContainerSpec, Mount
from node.env import expand, expand_all
from node.lifecycle import HASH_LABEL
from node.objects import ConfigError
from node.resources import kernel_limits, oom_score_adj
from node.security import identity

TERMINATION_LOG = "/dev/termination-log"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What was made ready on the node before the container can be."""

    env: dict[str, str]
    volumes: Mapping[str, Path]
    image_user: str
    termination_file: Path
    log_path: Path
    node_memory_bytes: int


def container_spec(pod: Pod, container: Container, attempt: int, prepared: Prepared) -> ContainerSpec:
    """Raises `ConfigError` where the definition cannot be carried out."""
    who = identity(pod, container, prepared.image_user)
    limits = kernel_limits(container.resources)
    path = container.termination_message_path or TERMINATION_LOG
    mounts = [_mount(mount, prepared) for mount in container.volume_mounts]
    mounts.append(Mount(source=str(prepared.termination_file), target=path, read_only=False))
    return ContainerSpec(
        name=container.name,
        attempt=attempt,
        image=container.image,
        command=expand_all(container.command, prepared.env) or None,
        args=expand_all(container.args, prepared.env) or None,
        env=[f"{name}={value}" for name, value in prepared.env.items()],
        working_dir=container.working_dir,
        mounts=mounts,
        cpu_shares=limits.cpu_shares,
        cpu_quota_us=limits.cpu_quota_us,
        memory_limit_bytes=limits.memory_bytes,
        user=who.user,
        group=who.group,
        supplemental_groups=who.supplemental_groups,
        privileged=who.privileged,
        cap_add=who.cap_add,
        cap_drop=who.cap_drop,
        read_only_root=who.read_only_root,
        no_new_privileges=who.no_new_privileges,
        tty=container.tty,
        stdin=container.stdin,
        stdin_once=container.stdin and container.stdin_once,
        log_path=str(prepared.log_path),
        labels=labels_of(pod, container, attempt),
        oom_score_adj=oom_score_adj(pod, container.resources, prepared.node_memory_bytes),
    )


def labels_of(pod: Pod, container: Container, attempt: int) -> dict[str, str]:
    """The kubelet's own labels; an adopted container is known by them."""
    meta = pod.metadata
    return {
        "io.kubernetes.pod.uid": meta.uid,
        "io.kubernetes.pod.name": meta.name,
        "io.kubernetes.pod.namespace": meta.namespace,
        "io.kubernetes.container.name": container.name,
        "io.kubernetes.container.restartCount": str(attempt),
        HASH_LABEL: definition_hash(container),
    }


def definition_hash(container: Container) -> str:
    """Of what may change in a running pod (its images) and demands another container."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]


def _mount(mount: VolumeMount, prepared: Prepared) -> Mount:
    if mount.name not in prepared.volumes:
        raise ConfigError(f"cannot find volume {mount.name!r} to mount into container")
    source = prepared.volumes[mount.name]
    below = expand(mount.sub_path_expr, prepared.env) if mount.sub_path_expr else mount.sub_path
    if below:
        source = sub_path(source, below)
    return Mount(source=str(source), target=mount.mount_path, read_only=mount.read_only)


def sub_path(volume: Path, below: str) -> Path:
    """A place inside the volume, made if it is missing. A link that leads out of the volume is refused."""
    if below.startswith("/") or ".." in Path(below).parts:
        raise ConfigError(f"subPath {below!r} must be relative and may not contain '..'")
    root = volume.resolve()
    place = (root / below).resolve()
    if not place.is_relative_to(root):
        raise ConfigError(f"subPath {below!r} leads out of its volume")
    if not place.exists():
        place.mkdir(mode=0o755, parents=True)
    return place
