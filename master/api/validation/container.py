"""Validation of containers: names, images, mounts, security; the rest of a container has modules of its own."""

from collections.abc import Collection, Sequence

from master.api.core.container import Container, EphemeralContainer, SecurityContext, VolumeMount
from master.api.status import FieldError
from master.api.validation.environment import validate_env, validate_env_from
from master.api.validation.metadata import at_least_zero
from master.api.validation.names import dns_label_faults
from master.api.validation.ports import validate_container_ports
from master.api.validation.resources import validate_resources

AnyContainer = Container | EphemeralContainer

PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def validate_container(container: AnyContainer, path: str, volumes: Collection[str]) -> list[FieldError]:
    """One container of any sort; `volumes` holds the names of the pod's volumes."""
    errors: list[FieldError] = []
    if not container.name:
        errors.append(FieldError.required(f"{path}.name"))
    else:
        errors += FieldError.invalid_each(f"{path}.name", container.name, dns_label_faults(container.name))
    if not container.image:
        errors.append(FieldError.required(f"{path}.image"))
    elif container.image != container.image.strip():
        errors.append(
            FieldError.invalid(f"{path}.image", container.image, "must not have leading or trailing whitespace")
        )
    if container.termination_message_policy not in ("File", "FallbackToLogsOnError"):
        supported = ("FallbackToLogsOnError", "File")
        errors.append(
            FieldError.not_supported(
                f"{path}.terminationMessagePolicy", container.termination_message_policy, supported
            )
        )
    errors += validate_container_ports(container.ports, f"{path}.ports")
    errors += validate_env(container.env, f"{path}.env")
    errors += validate_env_from(container.env_from, f"{path}.envFrom")
    errors += _mount_errors(container.volume_mounts, f"{path}.volumeMounts", volumes)
    for index, device in enumerate(container.volume_devices):
        if device.name not in volumes:
            errors.append(FieldError.not_found(f"{path}.volumeDevices[{index}].name", device.name))
        if not device.device_path:
            errors.append(FieldError.required(f"{path}.volumeDevices[{index}].devicePath"))
    if container.image_pull_policy not in PULL_POLICIES:
        errors.append(FieldError.not_supported(f"{path}.imagePullPolicy", container.image_pull_policy, PULL_POLICIES))
    errors += validate_resources(container.resources, f"{path}.resources")
    if container.security_context is not None:
        errors += _security_errors(container.security_context, f"{path}.securityContext")
    return errors


def _mount_errors(mounts: Sequence[VolumeMount], path: str, volumes: Collection[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    places: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{path}[{index}]"
        if not mount.name:
            errors.append(FieldError.required(f"{here}.name"))
        elif mount.name not in volumes:
            errors.append(FieldError.not_found(f"{here}.name", mount.name))
        if not mount.mount_path:
            errors.append(FieldError.required(f"{here}.mountPath"))
        elif mount.mount_path in places:
            errors.append(FieldError.invalid(f"{here}.mountPath", mount.mount_path, "must be unique"))
        places.add(mount.mount_path)
        if mount.sub_path:
            errors += relative_path_errors(mount.sub_path, f"{here}.subPath")
        if mount.sub_path and mount.sub_path_expr:
            errors.append(
                FieldError.invalid(
                    f"{here}.subPathExpr", mount.sub_path_expr, "subPathExpr and subPath are mutually exclusive"
                )
            )
    return errors


def relative_path_errors(value: str, path: str) -> list[FieldError]:
    errors = [FieldError.invalid(path, value, "must be a relative path")] if value.startswith("/") else []
    if ".." in value.split("/"):
        errors.append(FieldError.invalid(path, value, "must not contain '..'"))
    return errors


def _security_errors(context: SecurityContext, path: str) -> list[FieldError]:
    errors = at_least_zero(f"{path}.runAsUser", context.run_as_user)
    errors += at_least_zero(f"{path}.runAsGroup", context.run_as_group)
    if context.proc_mount not in (None, "", "Default", "Unmasked"):
        errors.append(FieldError.not_supported(f"{path}.procMount", context.proc_mount, ("Default", "Unmasked")))
    if context.allow_privilege_escalation is False:
        words = "cannot set `allowPrivilegeEscalation` to false and"
        if context.privileged:
            errors.append(FieldError.invalid(path, context, f"{words} `privileged` to true"))
        added = context.capabilities.add if context.capabilities else []
        if "CAP_SYS_ADMIN" in added:
            errors.append(FieldError.invalid(path, context, f"{words} `capabilities.Add` CAP_SYS_ADMIN"))
    return errors
