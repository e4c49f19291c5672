"""Validation of pod volumes: unique names, exactly one source, and what each source requires."""

from collections.abc import Sequence

from master.api.core.volumes import (
    DownwardAPIVolumeFile,
    HostPathVolumeSource,
    KeyToPath,
    ProjectedVolumeSource,
    Volume,
    VolumeProjection,
)
from master.api.quantity import nanos_of
from master.api.status import FieldError
from master.api.validation.container import relative_path_errors
from master.api.validation.environment import validate_field_ref
from master.api.validation.names import dns_label_faults

HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_SOURCES = tuple(
    (attribute, wire) for attribute, wire in zip(Volume.__struct_fields__, Volume.__struct_encode_fields__, strict=True)
)[1:]
_FILE_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_MODE_WORDS = "must be a number between 0 and 0777 (octal), both inclusive"


def validate_volumes(volumes: Sequence[Volume], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        if not volume.name:
            errors.append(FieldError.required(f"{here}.name"))
        else:
            errors += FieldError.invalid_each(f"{here}.name", volume.name, dns_label_faults(volume.name))
            if volume.name in names:
                errors.append(FieldError.duplicate(f"{here}.name", volume.name))
        names.add(volume.name)
        errors += _source_errors(volume, here)
    return errors


def _source_errors(volume: Volume, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [wire for attribute, wire in _SOURCES if getattr(volume, attribute) is not None]
    for wire in given[1:]:
        errors.append(FieldError.forbidden(f"{path}.{wire}", "may not specify more than 1 volume type"))
    if not given:
        errors.append(FieldError.required(path, "must specify a volume type"))
    if (
        volume.empty_dir is not None
        and volume.empty_dir.size_limit is not None
        and nanos_of(volume.empty_dir.size_limit) < 0
    ):
        detail = "SizeLimit field must be a valid resource quantity"
        errors.append(FieldError.forbidden(f"{path}.emptyDir.sizeLimit", detail))
    if volume.host_path is not None:
        errors += _host_path_errors(volume.host_path, f"{path}.hostPath")
    if volume.config_map is not None:
        errors += _named(volume.config_map.name, f"{path}.configMap.name")
        errors += _files(volume.config_map.items, volume.config_map.default_mode, f"{path}.configMap")
    if volume.secret is not None:
        errors += _named(volume.secret.secret_name, f"{path}.secret.secretName")
        errors += _files(volume.secret.items, volume.secret.default_mode, f"{path}.secret")
    if volume.downward_api is not None:
        errors += _mode(volume.downward_api.default_mode, f"{path}.downwardAPI.defaultMode")
        errors += _downward(volume.downward_api.items, f"{path}.downwardAPI")
    if volume.persistent_volume_claim is not None:
        errors += _named(volume.persistent_volume_claim.claim_name, f"{path}.persistentVolumeClaim.claimName")
    if volume.projected is not None:
        errors += _projected(volume.projected, f"{path}.projected")
    if volume.nfs is not None:
        errors += _named(volume.nfs.server, f"{path}.nfs.server")
        errors += _named(volume.nfs.path, f"{path}.nfs.path")
        if volume.nfs.path and not volume.nfs.path.startswith("/"):
            errors.append(FieldError.invalid(f"{path}.nfs.path", volume.nfs.path, "must be an absolute path"))
    if volume.csi is not None:
        errors += _named(volume.csi.driver, f"{path}.csi.driver")
    return errors


def _named(name: str, path: str) -> list[FieldError]:
    return [] if name else [FieldError.required(path)]


def _host_path_errors(source: HostPathVolumeSource, path: str) -> list[FieldError]:
    errors = _named(source.path, f"{path}.path")
    if ".." in source.path.split("/"):
        errors.append(FieldError.invalid(f"{path}.path", source.path, "must not contain '..'"))
    if source.type is not None and source.type not in HOST_PATH_TYPES:
        errors.append(FieldError.not_supported(f"{path}.type", source.type, HOST_PATH_TYPES))
    return errors


def _mode(mode: int | None, path: str) -> list[FieldError]:
    return [] if mode is None or 0 <= mode <= 0o777 else [FieldError.invalid(path, mode, _MODE_WORDS)]


def _files(items: Sequence[KeyToPath], default_mode: int | None, path: str) -> list[FieldError]:
    """Keys put at paths, as ConfigMap and Secret volumes have them."""
    errors = _mode(default_mode, f"{path}.defaultMode")
    for index, item in enumerate(items):
        here = f"{path}.items[{index}]"
        errors += _named(item.key, f"{here}.key")
        errors += _local_path(item.path, f"{here}.path")
        errors += _mode(item.mode, f"{here}.mode")
    return errors


def _local_path(value: str, path: str) -> list[FieldError]:
    if not value:
        return [FieldError.required(path)]
    errors = relative_path_errors(value, path)
    if value.startswith("..") and not value.startswith("../"):
        errors.append(FieldError.invalid(path, value, "must not start with '..'"))
    return errors


def _downward(items: Sequence[DownwardAPIVolumeFile], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        here = f"{path}.items[{index}]"
        errors += _local_path(item.path, f"{here}.path")
        errors += _mode(item.mode, f"{here}.mode")
        if item.field_ref is not None:
            errors += validate_field_ref(item.field_ref.field_path, f"{here}.fieldRef", _FILE_FIELDS)
            if item.resource_field_ref is not None:
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errors.append(FieldError.invalid(here, "resource", detail))
        elif item.resource_field_ref is None:
            errors.append(FieldError.required(here, "one of fieldRef and resourceFieldRef is required"))
        elif not item.resource_field_ref.container_name:
            errors.append(FieldError.required(f"{here}.resourceFieldRef.containerName"))
    return errors


def _projected(source: ProjectedVolumeSource, path: str) -> list[FieldError]:
    errors = _mode(source.default_mode, f"{path}.defaultMode")
    for index, projection in enumerate(source.sources):
        errors += _projection_errors(projection, f"{path}.sources[{index}]")
    return errors


def _projection_errors(projection: VolumeProjection, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    fields = zip(projection.__struct_fields__, projection.__struct_encode_fields__, strict=True)
    given = [wire for attribute, wire in fields if getattr(projection, attribute) is not None]
    for wire in given[1:]:
        errors.append(FieldError.forbidden(f"{path}.{wire}", "may not specify more than 1 volume type per source"))
    if not given:
        errors.append(FieldError.required(path, "must specify a projected volume source"))
    for name, source in (("secret", projection.secret), ("configMap", projection.config_map)):
        if source is not None:
            errors += _named(source.name, f"{path}.{name}.name")
            errors += _files(source.items, None, f"{path}.{name}")
    if projection.downward_api is not None:
        errors += _downward(projection.downward_api.items, f"{path}.downwardAPI")
    token = projection.service_account_token
    if token is not None:
        lifetime_s = token.expiration_seconds or 0
        if lifetime_s < 600:
            detail = "may not specify a duration less than 10 minutes"
            errors.append(FieldError.invalid(f"{path}.serviceAccountToken.expirationSeconds", lifetime_s, detail))
        errors += _local_path(token.path, f"{path}.serviceAccountToken.path")
    return errors
