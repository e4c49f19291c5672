"""core.configmap types of the Kubernetes API (1.36)."""

from master.api.meta import Object
from master.api.model import Bytes
from master.api.resource import AGE, NAME, Cell, Column, ResourceInfo
from master.api.status import FieldError
from master.api.timestamps import age
from master.api.validation.metadata import validate_metadata, validate_metadata_update
from master.api.validation.names import config_key_faults


class ConfigMap(Object):
    data: dict[str, str] = {}
    binary_data: dict[str, Bytes] = {}
    immutable: bool | None = None


DATA_MAX_BYTES = 1024 * 1024
IMMUTABLE = "field is immutable when `immutable` is set"


def validate(config: ConfigMap) -> list[FieldError]:
    errors = validate_metadata(config.metadata)
    size_bytes = 0
    for key, value in config.data.items():
        errors += FieldError.invalid_each(f"data[{key}]", key, config_key_faults(key))
        if key in config.binary_data:
            errors.append(FieldError.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size_bytes += len(value.encode())
    for key, blob in config.binary_data.items():
        errors += FieldError.invalid_each(f"binaryData[{key}]", key, config_key_faults(key))
        size_bytes += len(blob) * 3 // 4
    if size_bytes > DATA_MAX_BYTES:
        errors.append(FieldError.too_long("", "", DATA_MAX_BYTES))
    return errors


def validate_update(new: ConfigMap, old: ConfigMap) -> list[FieldError]:
    errors = validate_metadata_update(new.metadata, old.metadata)
    if old.immutable:
        if not new.immutable:
            errors.append(FieldError.forbidden("immutable", IMMUTABLE))
        if new.data != old.data:
            errors.append(FieldError.forbidden("data", IMMUTABLE))
        if new.binary_data != old.binary_data:
            errors.append(FieldError.forbidden("binaryData", IMMUTABLE))
    return errors + validate(new)


def cells(config: ConfigMap, now_s: float) -> list[Cell]:
    keys = len(config.data) + len(config.binary_data)
    return [config.metadata.name, str(keys), age(config.metadata.creation_timestamp, now_s)]


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="ConfigMap",
        plural="configmaps",
        singular="configmap",
        short_names=("cm",),
        struct=ConfigMap,
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, Column("Data"), AGE),
        cells=cells,
    ),
)
