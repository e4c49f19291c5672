"""Validation of probes and lifecycle handlers: exactly one action each, with sensible numbers."""

from master.api.core.container import (
    Container,
    EphemeralContainer,
    HTTPGetAction,
    LifecycleHandler,
    Probe,
)
from master.api.status import FieldError
from master.api.validation.metadata import at_least_zero
from master.api.validation.ports import validate_port


def validate_hooks(container: Container | EphemeralContainer, path: str) -> list[FieldError]:
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
        errors += validate_port(f"{path}.grpc.port", probe.grpc.port)
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
        errors += validate_port(f"{path}.tcpSocket.port", handler.tcp_socket.port)
    return errors


def _http_errors(action: HTTPGetAction, path: str) -> list[FieldError]:
    errors = [] if action.path else [FieldError.required(f"{path}.path")]
    errors += validate_port(f"{path}.port", action.port)
    if action.scheme not in ("HTTP", "HTTPS"):
        errors.append(FieldError.not_supported(f"{path}.scheme", action.scheme, ("HTTP", "HTTPS")))
    return errors
