"""Validation of a container's environment: variables, their sources, whole ConfigMaps and Secrets."""

from collections.abc import Sequence

from master.api.core.env import EnvFromSource, EnvVar, EnvVarSource
from master.api.status import FieldError
from master.api.validation.names import config_key_faults, env_name_faults, label_key_faults

_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_ENV_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)


def validate_env(env: Sequence[EnvVar], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(env):
        here = f"{path}[{index}]"
        if not variable.name:
            errors.append(FieldError.required(f"{here}.name"))
        else:
            errors += FieldError.invalid_each(f"{here}.name", variable.name, env_name_faults(variable.name))
        if variable.value_from is not None:
            errors += _env_source_errors(variable.value_from, f"{here}.valueFrom", has_value=bool(variable.value))
    return errors


def _env_source_errors(source: EnvVarSource, path: str, *, has_value: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [
        choice
        for choice in (
            source.field_ref,
            source.resource_field_ref,
            source.config_map_key_ref,
            source.secret_key_ref,
            source.file_key_ref,
        )
        if choice is not None
    ]
    if source.field_ref is not None:
        errors += validate_field_ref(source.field_ref.field_path, f"{path}.fieldRef", _ENV_FIELDS)
    if source.resource_field_ref is not None:
        resource = source.resource_field_ref.resource
        if not resource:
            errors.append(FieldError.required(f"{path}.resourceFieldRef.resource"))
        elif resource not in _ENV_RESOURCES and ".hugepages-" not in resource:
            errors.append(FieldError.not_supported(f"{path}.resourceFieldRef.resource", resource, _ENV_RESOURCES))
    for name, reference in (("configMapKeyRef", source.config_map_key_ref), ("secretKeyRef", source.secret_key_ref)):
        if reference is not None:
            errors += _key_ref_errors(reference.name, reference.key, f"{path}.{name}")
    if not given:
        choices = "`configMapKeyRef`, `fieldRef`, `fileKeyRef`, `resourceFieldRef` or `secretKeyRef`"
        errors.append(FieldError.invalid(path, "", f"must specify one of: {choices}"))
    elif has_value:
        errors.append(FieldError.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(FieldError.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _key_ref_errors(name: str, key: str, path: str) -> list[FieldError]:
    errors = [] if name else [FieldError.required(f"{path}.name")]
    if not key:
        return [*errors, FieldError.required(f"{path}.key")]
    return errors + FieldError.invalid_each(f"{path}.key", key, config_key_faults(key))


def validate_field_ref(field_path: str, path: str, supported: Sequence[str]) -> list[FieldError]:
    """`metadata.name`, `metadata.labels['key']` and so on."""
    if not field_path:
        return [FieldError.required(f"{path}.fieldPath")]
    if field_path in supported:
        return []
    for prefix in ("metadata.labels['", "metadata.annotations['"):
        if field_path.startswith(prefix) and field_path.endswith("']"):
            key = field_path[len(prefix) : -2]
            return FieldError.invalid_each(path, key, label_key_faults(key.lower()))
    return [FieldError.not_supported(f"{path}.fieldPath", field_path, supported)]


def validate_env_from(sources: Sequence[EnvFromSource], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        here = f"{path}[{index}]"
        if source.prefix:
            errors += FieldError.invalid_each(f"{here}.prefix", source.prefix, env_name_faults(source.prefix))
        for name, reference in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref)):
            if reference is not None and not reference.name:
                errors.append(FieldError.required(f"{here}.{name}.name"))
        if source.config_map_ref is None and source.secret_ref is None:
            errors.append(FieldError.invalid(here, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif source.config_map_ref is not None and source.secret_ref is not None:
            errors.append(FieldError.invalid(here, "", "may not have more than one field specified at a time"))
    return errors
