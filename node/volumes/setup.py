"""Brings the volumes of a pod into being, keeps their content current, and clears them away at the pod's end."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from master.api.core.pod import Pod
from master.api.core.volumes import ServiceAccountTokenProjection, Volume
from node.fields import PodFacts
from node.objects import CONFIG_MAP, SECRET, ConfigError, Objects, Reference
from node.volumes import configmap, downwardapi, emptydir, hostpath, projected, secret
from node.volumes.atomicwriter import write_payload
from node.volumes.payload import DEFAULT_MODE, Payload
from node.volumes.projected import TokenKey, token_key
from node.volumes.tmpfs import mount_tmpfs, unmount


class VolumeContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the volumes of one pod are made from. `stamp` names this writing of their content."""

    folder: Path
    facts: PodFacts
    objects: Objects = Objects()
    tokens: Mapping[TokenKey, str] = {}
    stamp: str = ""


class VolumeError(Exception):
    """A volume cannot be set up now; the message is FailedMount's."""


def volume_references(pod: Pod) -> list[Reference]:
    """The ConfigMaps and Secrets that the pod's volumes show."""
    found: list[Reference] = []
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            found.append(Reference(CONFIG_MAP, volume.config_map.name))
        if volume.secret is not None:
            found.append(Reference(SECRET, volume.secret.secret_name))
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.config_map is not None:
                found.append(Reference(CONFIG_MAP, part.config_map.name))
            if part.secret is not None:
                found.append(Reference(SECRET, part.secret.name))
    return found


def token_projections(pod: Pod) -> Iterable[ServiceAccountTokenProjection]:
    for volume in pod.spec.volumes:
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.service_account_token is not None:
                yield part.service_account_token


def setup_volumes(pod: Pod, context: VolumeContext) -> dict[str, Path]:
    """Every volume's folder or file on the node, by name. Called at each sync: content follows its objects."""
    paths: dict[str, Path] = {}
    for volume in pod.spec.volumes:
        try:
            paths[volume.name] = _setup(pod, volume, context)
        except (ConfigError, OSError) as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error
    return paths


def _setup(pod: Pod, volume: Volume, context: VolumeContext) -> Path:
    group = pod.spec.security_context.fs_group if pod.spec.security_context is not None else None
    if volume.host_path is not None:
        return hostpath.find(volume.host_path)
    if volume.empty_dir is not None:
        folder = emptydir.make(context.folder / "kubernetes.io~empty-dir" / volume.name, volume.empty_dir)
        _give_to_group(folder, group)
        return folder
    kind, in_memory, payload = _payload(volume, context)
    folder = context.folder / f"kubernetes.io~{kind}" / volume.name
    if in_memory:
        mount_tmpfs(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _give_to_group(folder, group)
    write_payload(folder, payload, group, context.stamp)
    return folder


def _payload(volume: Volume, context: VolumeContext) -> tuple[str, bool, Payload]:
    """The kind of the volume, whether it must stay off the disk, and its files."""
    if volume.config_map is not None:
        mode = _mode(volume.config_map.default_mode)
        return "configmap", False, configmap.payload_of(volume.config_map, context.objects, mode)
    if volume.secret is not None:
        return "secret", True, secret.payload_of(volume.secret, context.objects, _mode(volume.secret.default_mode))
    if volume.downward_api is not None:
        mode = _mode(volume.downward_api.default_mode)
        return "downward-api", False, downwardapi.payload_of(volume.downward_api.items, context.facts, mode)
    if volume.projected is not None:
        payload = projected.payload_of(volume.projected, context.facts, context.objects, context.tokens)
        return "projected", True, payload
    raise ConfigError("this node does not know this kind of volume")


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode


def _give_to_group(folder: Path, group: int | None) -> None:
    """fsGroup: the group owns the folder, and what is made inside inherits it."""
    if group is None or folder.stat().st_gid == group:
        return
    os.chown(folder, -1, group)
    os.chmod(folder, folder.stat().st_mode | 0o2070)


def clear_pod_folder(pod_folder: Path) -> None:
    """Unmount what lives in memory, then delete; links are not followed and other mounts are not entered."""
    volumes = pod_folder / "volumes"
    for folder in volumes.glob("kubernetes.io~*/*"):
        unmount(folder)
    shutil.rmtree(pod_folder, ignore_errors=True)


def needed_token_keys(pod: Pod) -> list[TokenKey]:
    return list(dict.fromkeys(token_key(token) for token in token_projections(pod)))
