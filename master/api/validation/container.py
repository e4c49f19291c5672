"""Validation of containers: names, images, ports, environment, mounts, resources, probes."""

from collections.abc import Mapping, Sequence

from master.api.core.container import (
    Container,
    ContainerPort,
    EphemeralContainer,
    HTTPGetAction,
    LifecycleHandler,
    Probe,
    ResourceRequirements,
    SecurityContext,
    TCPSocketAction,
    VolumeMount,
)
from master.api.core.env import EnvFromSource, EnvVar, EnvVarSource
from master.api.model import IntOrString, Quantity
from master.api.quantity import canonical, nanos_of
from master.api.status import FieldError
from master.api.validation.metadata import at_least_zero
from master.api.validation.names import (
    config_key_faults,
    dns_label_faults,
    env_name_faults,
    label_key_faults,
    port_name_faults,
    port_number_faults,
)

AnyContainer = Container | EphemeralContainer

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
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
_STANDARD_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})


def validate_container(container: AnyContainer, path: str, volumes: Mapping[str, bool]) -> list[FieldError]:
    """One container of any sort; `volumes` holds the names of the pod's volumes (True: a block device may be used)."""
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
    errors += _port_errors(container.ports, f"{path}.ports")
    errors += _env_errors(container.env, f"{path}.env")
    errors += _env_from_errors(container.env_from, f"{path}.envFrom")
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


def validate_hooks(container: AnyContainer, path: str) -> list[FieldError]:
    """Lifecycle handlers and probes of a container that may have them."""
    errors: list[FieldError] = []
    if container.lifecycle is not None:
        for name, handler in (
            ("postStart", container.lifecycle.post_start),
            ("preStop", container.lifecycle.pre_stop),
        ):
            if handler is not None:
                errors += _handler_errors(handler, f"{path}.lifecycle.{name}")
    for name, probe, once in (
        ("livenessProbe", container.liveness_probe, True),
        ("readinessProbe", container.readiness_probe, False),
        ("startupProbe", container.startup_probe, True),
    ):
        if probe is not None:
            errors += _probe_errors(probe, f"{path}.{name}", succeeds_once=once)
    return errors


def _port_errors(ports: Sequence[ContainerPort], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if port.name:
            faults = port_name_faults(port.name)
            errors += FieldError.invalid_each(f"{here}.name", port.name, faults)
            if not faults and port.name in names:
                errors.append(FieldError.duplicate(f"{here}.name", port.name))
            names.add(port.name)
        if port.container_port == 0:
            errors.append(FieldError.required(f"{here}.containerPort"))
        else:
            errors += _numbers(f"{here}.containerPort", port.container_port)
        if port.host_port != 0:
            errors += _numbers(f"{here}.hostPort", port.host_port)
        if not port.protocol:
            errors.append(FieldError.required(f"{here}.protocol"))
        elif port.protocol not in PROTOCOLS:
            errors.append(FieldError.not_supported(f"{here}.protocol", port.protocol, PROTOCOLS))
    return errors


def _numbers(path: str, port: int) -> list[FieldError]:
    return FieldError.invalid_each(path, port, port_number_faults(port))


def validate_port(path: str, port: IntOrString | None) -> list[FieldError]:
    """A port by number or by name."""
    if isinstance(port, str):
        return FieldError.invalid_each(path, port, port_name_faults(port))
    return _numbers(path, port or 0)


def host_port_conflicts(containers: Sequence[AnyContainer], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for position, container in enumerate(containers):
        for index, port in enumerate(container.ports):
            if not port.host_port:
                continue
            claim = f"{port.protocol}/{port.host_ip}/{port.host_port}"
            if claim in taken:
                errors.append(FieldError.duplicate(f"{path}[{position}].ports[{index}].hostPort", claim))
            taken.add(claim)
    return errors


def _env_errors(env: Sequence[EnvVar], path: str) -> list[FieldError]:
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


def _env_from_errors(sources: Sequence[EnvFromSource], path: str) -> list[FieldError]:
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


def _mount_errors(mounts: Sequence[VolumeMount], path: str, volumes: Mapping[str, bool]) -> list[FieldError]:
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


def validate_resources(resources: ResourceRequirements, path: str) -> list[FieldError]:
    """Limits and requests: known names, no negative amounts, no request above its limit."""
    errors: list[FieldError] = []
    for name, limit in resources.limits.items():
        errors += _amount_errors(name, limit, f"{path}.limits[{name}]")
    for name, request in resources.requests.items():
        errors += _amount_errors(name, request, f"{path}.requests[{name}]")
        maximum = resources.limits.get(name)
        if maximum is not None:
            if _extended(name) and nanos_of(request) != nanos_of(maximum):
                detail = f"must be equal to {name} limit of {canonical(maximum)}"
                errors.append(FieldError.invalid(f"{path}.requests", canonical(request), detail))
            elif nanos_of(request) > nanos_of(maximum):
                detail = f"must be less than or equal to {name} limit of {canonical(maximum)}"
                errors.append(FieldError.invalid(f"{path}.requests", canonical(request), detail))
        elif _extended(name):
            detail = "Limit must be set for non overcommitable resources"
            errors.append(FieldError.required(f"{path}.limits", detail))
    return errors


def _extended(name: str) -> bool:
    return name.startswith("hugepages-") or ("/" in name and not name.partition("/")[0].endswith("kubernetes.io"))


def _amount_errors(name: str, amount: Quantity, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
        errors += FieldError.invalid_each(path, name, label_key_faults(name))
        if "/" not in name:
            errors.append(FieldError.invalid(path, name, "must be a standard resource type or fully qualified"))
            errors.append(FieldError.invalid(path, name, "must be a standard resource for containers"))
    nanos = nanos_of(amount)
    if nanos < 0:
        errors.append(FieldError.invalid(path, canonical(amount), "must be greater than or equal to 0"))
    if _extended(name) and nanos % 10**9:
        errors.append(FieldError.invalid(path, canonical(amount), "must be an integer"))
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


def _probe_errors(probe: Probe, path: str, *, succeeds_once: bool) -> list[FieldError]:
    errors = _action_errors(probe, path)
    for name, value in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        errors += at_least_zero(f"{path}.{name}", value)
    grace_s = probe.termination_grace_period_seconds
    if grace_s is not None and grace_s <= 0:
        errors.append(FieldError.invalid(f"{path}.terminationGracePeriodSeconds", grace_s, "must be greater than 0"))
    if succeeds_once and probe.success_threshold != 1:
        errors.append(FieldError.invalid(f"{path}.successThreshold", probe.success_threshold, "must be 1"))
    if probe.grpc is not None:
        errors += _numbers(f"{path}.grpc.port", probe.grpc.port)
    return errors


def _handler_errors(handler: LifecycleHandler, path: str) -> list[FieldError]:
    errors = _action_errors(handler, path)
    if handler.sleep is not None and handler.sleep.seconds < 0:
        errors.append(FieldError.invalid(f"{path}.sleep", handler.sleep.seconds, "must be greater than or equal to 0"))
    return errors


def _action_errors(handler: Probe | LifecycleHandler, path: str) -> list[FieldError]:
    """Exactly one action, and that one in order."""
    errors: list[FieldError] = []
    actions = {
        "exec": handler.exec,
        "httpGet": handler.http_get,
        "tcpSocket": handler.tcp_socket,
        "grpc": handler.grpc if isinstance(handler, Probe) else None,
        "sleep": handler.sleep if isinstance(handler, LifecycleHandler) else None,
    }
    given = [name for name, action in actions.items() if action is not None]
    for name in given[1:]:
        errors.append(FieldError.forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
    if not given:
        errors.append(FieldError.required(path, "must specify a handler type"))
    if handler.exec is not None and not handler.exec.command:
        errors.append(FieldError.required(f"{path}.exec.command"))
    if handler.http_get is not None:
        errors += _http_errors(handler.http_get, f"{path}.httpGet")
    if handler.tcp_socket is not None:
        errors += _tcp_errors(handler.tcp_socket, f"{path}.tcpSocket")
    return errors


def _http_errors(action: HTTPGetAction, path: str) -> list[FieldError]:
    errors = [] if action.path else [FieldError.required(f"{path}.path")]
    errors += validate_port(f"{path}.port", action.port)
    if action.scheme not in ("HTTP", "HTTPS"):
        errors.append(FieldError.not_supported(f"{path}.scheme", action.scheme, ("HTTP", "HTTPS")))
    return errors


def _tcp_errors(action: TCPSocketAction, path: str) -> list[FieldError]:
    return validate_port(f"{path}.port", action.port)
