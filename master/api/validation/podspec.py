"""Validation of a pod spec as a whole; containers, volumes and scheduling have modules of their own."""

from collections.abc import Sequence

from master.api.core.container import Container
from master.api.core.podspec import PodSecurityContext, PodSpec, PodTemplateSpec
from master.api.selectors import Selector
from master.api.status import FieldError
from master.api.validation.container import AnyContainer, validate_container
from master.api.validation.metadata import at_least_zero, validate_annotations, validate_labels
from master.api.validation.names import dns_label_faults, dns_subdomain_faults
from master.api.validation.network import ip_errors
from master.api.validation.ports import host_port_conflicts
from master.api.validation.probes import validate_hooks
from master.api.validation.resources import validate_resources
from master.api.validation.scheduling import validate_affinity, validate_spread, validate_tolerations
from master.api.validation.volume import validate_volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
PREEMPTION_POLICIES = ("Never", "PreemptLowerPriority")
NAMESERVERS_MAX = 3
DEADLINE_MAX_S = 2**31 - 1


_INIT_ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"


def validate_pod_spec(spec: PodSpec, path: str) -> list[FieldError]:
    """Every fault of the spec, in the order in which Kubernetes lists them."""
    errors = validate_volumes(spec.volumes, f"{path}.volumes")
    errors += _containers(spec, path)
    if spec.resources is not None:
        errors += validate_resources(spec.resources, f"{path}.resources")
    errors += _policies(spec, path)
    errors += validate_labels(spec.node_selector, f"{path}.nodeSelector")
    if spec.security_context is not None:
        errors += _security(spec.security_context, f"{path}.securityContext")
    for index, secret in enumerate(spec.image_pull_secrets):
        if not secret.name:
            errors.append(FieldError.required(f"{path}.imagePullSecrets[{index}].name"))
    if spec.affinity is not None:
        errors += validate_affinity(spec.affinity, f"{path}.affinity")
    errors += _dns_config(spec, f"{path}.dnsConfig")
    errors += validate_spread(spec.topology_spread_constraints, f"{path}.topologySpreadConstraints")
    errors += _names(spec, path)
    deadline_s = spec.active_deadline_seconds
    if deadline_s is not None and not 1 <= deadline_s <= DEADLINE_MAX_S:
        detail = f"must be between 1 and {DEADLINE_MAX_S}, inclusive"
        errors.append(FieldError.invalid(f"{path}.activeDeadlineSeconds", deadline_s, detail))
    errors += validate_tolerations(spec.tolerations, f"{path}.tolerations")
    for index, alias in enumerate(spec.host_aliases):
        here = f"{path}.hostAliases[{index}]"
        errors += ip_errors(alias.ip, f"{here}.ip")
        for hostname in alias.hostnames:
            errors += FieldError.invalid_each(f"{here}.hostnames", hostname, dns_subdomain_faults(hostname))
    return errors


def _containers(spec: PodSpec, path: str) -> list[FieldError]:
    volumes = {volume.name for volume in spec.volumes}
    names: set[str] = set()
    errors: list[FieldError] = []
    if not spec.containers:
        errors.append(FieldError.required(f"{path}.containers"))
    for index, container in enumerate(spec.containers):
        here = f"{path}.containers[{index}]"
        errors += validate_container(container, here, volumes)
        errors += _unique(container, here, names)
        errors += validate_hooks(container, here)
        if spec.host_network:
            errors += _host_network_ports(container, here)
    errors += host_port_conflicts(spec.containers, f"{path}.containers")
    for index, container in enumerate(spec.init_containers):
        here = f"{path}.initContainers[{index}]"
        errors += validate_container(container, here, volumes)
        errors += _unique(container, here, names)
        errors += _init_container(container, here)
    for index, debugger in enumerate(spec.ephemeral_containers):
        here = f"{path}.ephemeralContainers[{index}]"
        errors += validate_container(debugger, here, volumes)
        errors += _unique(debugger, here, names)
        target = debugger.target_container_name
        if target and target not in names:
            errors.append(FieldError.not_found(f"{here}.targetContainerName", target))
    return errors


def _unique(container: AnyContainer, path: str, names: set[str]) -> list[FieldError]:
    if container.name in names:
        return [FieldError.duplicate(f"{path}.name", container.name)]
    if container.name:
        names.add(container.name)
    return []


def _host_network_ports(container: Container, path: str) -> list[FieldError]:
    detail = "must match `containerPort` when `hostNetwork` is true"
    return [
        FieldError.invalid(f"{path}.ports[{index}].hostPort", port.host_port, detail)
        for index, port in enumerate(container.ports)
        if port.host_port not in (0, port.container_port)
    ]


def _init_container(container: Container, path: str) -> list[FieldError]:
    if container.restart_policy == "Always":
        return validate_hooks(container, path)
    errors = []
    if container.restart_policy is not None and container.restart_policy not in RESTART_POLICIES:
        errors.append(
            FieldError.not_supported(f"{path}.restartPolicy", container.restart_policy, sorted(RESTART_POLICIES))
        )
    for name, value in (
        ("lifecycle", container.lifecycle),
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if value is not None:
            errors.append(FieldError.forbidden(f"{path}.{name}", _INIT_ONLY_SIDECARS))
    return errors


def _policies(spec: PodSpec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value, supported in (
        ("restartPolicy", spec.restart_policy, RESTART_POLICIES),
        ("dnsPolicy", spec.dns_policy, DNS_POLICIES),
    ):
        if not value:
            errors.append(FieldError.required(f"{path}.{name}"))
        elif value not in supported:
            errors.append(FieldError.not_supported(f"{path}.{name}", value, supported))
    if spec.preemption_policy is not None and spec.preemption_policy not in PREEMPTION_POLICIES:
        errors.append(FieldError.not_supported(f"{path}.preemptionPolicy", spec.preemption_policy, PREEMPTION_POLICIES))
    return errors


def _security(context: PodSecurityContext, path: str) -> list[FieldError]:
    errors = at_least_zero(f"{path}.runAsUser", context.run_as_user)
    errors += at_least_zero(f"{path}.runAsGroup", context.run_as_group)
    errors += at_least_zero(f"{path}.fsGroup", context.fs_group)
    for index, group in enumerate(context.supplemental_groups):
        errors += at_least_zero(f"{path}.supplementalGroups[{index}]", group)
    names: set[str] = set()
    for index, sysctl in enumerate(context.sysctls):
        here = f"{path}.sysctls[{index}].name"
        if not sysctl.name:
            errors.append(FieldError.required(here))
        elif sysctl.name in names:
            errors.append(FieldError.duplicate(here, sysctl.name))
        names.add(sysctl.name)
    return errors


def _dns_config(spec: PodSpec, path: str) -> list[FieldError]:
    config = spec.dns_config
    if spec.dns_policy == "None" and (config is None or not config.nameservers):
        where = f"{path}.nameservers" if config is not None else path
        return [FieldError.required(where, "must provide at least one DNS nameserver when `dnsPolicy` is None")]
    if config is None:
        return []
    errors: list[FieldError] = []
    if len(config.nameservers) > NAMESERVERS_MAX:
        detail = f"must not have more than {NAMESERVERS_MAX} nameservers"
        errors.append(FieldError.invalid(f"{path}.nameservers", config.nameservers, detail))
    for index, server in enumerate(config.nameservers):
        errors += ip_errors(server, f"{path}.nameservers[{index}]")
    for index, option in enumerate(config.options):
        if not option.name:
            errors.append(FieldError.required(f"{path}.options[{index}]", "must not be empty"))
    return errors


def _names(spec: PodSpec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value, faults in (
        ("serviceAccountName", spec.service_account_name, dns_subdomain_faults),
        ("nodeName", spec.node_name, dns_subdomain_faults),
        ("hostname", spec.hostname, dns_label_faults),
        ("subdomain", spec.subdomain, dns_label_faults),
        ("priorityClassName", spec.priority_class_name, dns_subdomain_faults),
        ("runtimeClassName", spec.runtime_class_name, dns_subdomain_faults),
    ):
        if value:
            errors += FieldError.invalid_each(f"{path}.{name}", value, faults(value))
    for index, gate in enumerate(spec.readiness_gates):
        here = f"{path}.readinessGates[{index}].conditionType"
        if not gate.condition_type:
            errors.append(FieldError.required(here))
    return errors


def validate_template(
    template: PodTemplateSpec | None, path: str, selector: Selector | None = None, *, owner: str = ""
) -> list[FieldError]:
    """A pod template; with a selector also that its pods would be found by it and restarted for ever."""
    if template is None:
        return [FieldError.required(path)]
    errors: list[FieldError] = []
    labels = template.metadata.labels
    if selector is not None and not selector.everything and not selector.matches(labels):
        detail = "`selector` does not match template `labels`"
        errors.append(FieldError.invalid(f"{path}.metadata.labels", labels, detail))
    errors += validate_labels(labels, f"{path}.labels")
    errors += validate_annotations(template.metadata.annotations, f"{path}.annotations")
    errors += validate_pod_spec(template.spec, f"{path}.spec")
    if template.spec.ephemeral_containers:
        errors.append(
            FieldError.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
        )
    if owner:
        errors += _runs_for_ever(template.spec, f"{path}.spec", owner)
    return errors


def _runs_for_ever(spec: PodSpec, path: str, owner: str) -> Sequence[FieldError]:
    errors: list[FieldError] = []
    if spec.restart_policy in RESTART_POLICIES[1:]:
        errors.append(FieldError.not_supported(f"{path}.restartPolicy", spec.restart_policy, ("Always",)))
    if spec.active_deadline_seconds is not None:
        detail = f"activeDeadlineSeconds in {owner} is not Supported"
        errors.append(FieldError.forbidden(f"{path}.activeDeadlineSeconds", detail))
    return errors
