"""Validation of what steers the scheduler: affinity, tolerations, topology spread."""

from collections.abc import Sequence

from master.api.core.scheduling import (
    Affinity,
    NodeAffinity,
    NodeSelectorTerm,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    Toleration,
    TopologySpreadConstraint,
)
from master.api.status import FieldError
from master.api.validation.metadata import validate_label_selector
from master.api.validation.names import label_key_faults, label_value_faults

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_affinity(affinity: Affinity, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if affinity.node_affinity is not None:
        errors += _node_affinity(affinity.node_affinity, f"{path}.nodeAffinity")
    if affinity.pod_affinity is not None:
        errors += _pod_affinity(affinity.pod_affinity, f"{path}.podAffinity")
    if affinity.pod_anti_affinity is not None:
        errors += _pod_affinity(affinity.pod_anti_affinity, f"{path}.podAntiAffinity")
    return errors


def _node_affinity(affinity: NodeAffinity, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    needed = affinity.required_during_scheduling_ignored_during_execution
    if needed is not None:
        here = f"{path}.{_REQUIRED}.nodeSelectorTerms"
        if not needed.node_selector_terms:
            errors.append(FieldError.required(here, "must have at least one node selector term"))
        for index, term in enumerate(needed.node_selector_terms):
            errors += _node_term(term, f"{here}[{index}]")
    for index, preferred in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        here = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight(preferred.weight, f"{here}.weight")
        errors += _node_term(preferred.preference, f"{here}.preference")
    return errors


def _node_term(term: NodeSelectorTerm, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, rule in enumerate(term.match_expressions):
        here = f"{path}.matchExpressions[{index}]"
        errors += _operator_errors(rule.operator, rule.values, here)
        errors += FieldError.invalid_each(f"{here}.key", rule.key, label_key_faults(rule.key))
    for index, rule in enumerate(term.match_fields):
        here = f"{path}.matchFields[{index}]"
        if rule.operator not in ("In", "NotIn"):
            errors.append(FieldError.invalid(f"{here}.operator", rule.operator, "not a valid selector operator"))
        elif len(rule.values) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(FieldError.required(f"{here}.values", detail))
        if rule.key != "metadata.name":
            errors.append(FieldError.invalid(f"{here}.key", rule.key, "not a valid field selector key"))
    return errors


def _operator_errors(operator: str, values: Sequence[str], path: str) -> list[FieldError]:
    match operator:
        case "In" | "NotIn":
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            return [] if values else [FieldError.required(f"{path}.values", detail)]
        case "Exists" | "DoesNotExist":
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            return [FieldError.forbidden(f"{path}.values", detail)] if values else []
        case "Gt" | "Lt":
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            return [] if len(values) == 1 else [FieldError.required(f"{path}.values", detail)]
    return [FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")]


def _weight(weight: int, path: str) -> list[FieldError]:
    return [] if 1 <= weight <= 100 else [FieldError.invalid(path, weight, "must be in the range 1-100")]


def _pod_affinity(affinity: PodAffinity | PodAntiAffinity, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, term in enumerate(affinity.required_during_scheduling_ignored_during_execution):
        errors += _pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, weighted in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        here = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight(weighted.weight, f"{here}.weight")
        errors += _pod_term(weighted.pod_affinity_term, f"{here}.podAffinityTerm")
    return errors


def _pod_term(term: PodAffinityTerm, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if term.label_selector is not None:
        errors += validate_label_selector(term.label_selector, f"{path}.labelSelector")
    if term.namespace_selector is not None:
        errors += validate_label_selector(term.namespace_selector, f"{path}.namespaceSelector")
    if not term.topology_key:
        errors.append(FieldError.required(f"{path}.topologyKey", "can not be empty"))
    return errors + FieldError.invalid_each(
        f"{path}.topologyKey", term.topology_key, label_key_faults(term.topology_key)
    )


def validate_tolerations(tolerations: Sequence[Toleration], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations):
        here = f"{path}[{index}]"
        if toleration.key:
            errors += FieldError.invalid_each(f"{here}.key", toleration.key, label_key_faults(toleration.key))
        elif toleration.operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(FieldError.invalid(f"{here}.operator", toleration.operator, detail))
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(FieldError.invalid(f"{here}.effect", toleration.effect, detail))
        errors += _toleration_value(toleration, here)
        if toleration.effect and toleration.effect not in EFFECTS:
            errors.append(FieldError.not_supported(f"{here}.effect", toleration.effect, EFFECTS))
    return errors


def _toleration_value(toleration: Toleration, path: str) -> list[FieldError]:
    match toleration.operator:
        case "" | "Equal":
            return FieldError.invalid_each(f"{path}.operator", toleration.value, label_value_faults(toleration.value))
        case "Exists":
            if toleration.value:
                detail = "value must be empty when `operator` is 'Exists'"
                return [FieldError.invalid(f"{path}.operator", toleration, detail)]
            return []
    return [FieldError.not_supported(f"{path}.operator", toleration.operator, ("Equal", "Exists"))]


def validate_spread(constraints: Sequence[TopologySpreadConstraint], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        here = f"{path}[{index}]"
        if constraint.max_skew <= 0:
            errors.append(FieldError.invalid(f"{here}.maxSkew", constraint.max_skew, "must be greater than zero"))
        if not constraint.topology_key:
            errors.append(FieldError.required(f"{here}.topologyKey", "can not be empty"))
        actions = ("DoNotSchedule", "ScheduleAnyway")
        if constraint.when_unsatisfiable not in actions:
            errors.append(FieldError.not_supported(f"{here}.whenUnsatisfiable", constraint.when_unsatisfiable, actions))
        pair = (constraint.topology_key, constraint.when_unsatisfiable)
        if pair in seen:
            shown = f"{{{pair[0]}, {pair[1]}}}"
            errors.append(FieldError.duplicate(f"{here}.{{topologyKey, whenUnsatisfiable}}", shown))
        seen.add(pair)
        if constraint.min_domains is not None and constraint.min_domains <= 0:
            errors.append(FieldError.invalid(f"{here}.minDomains", constraint.min_domains, "must be greater than zero"))
        if constraint.label_selector is not None:
            errors += validate_label_selector(constraint.label_selector, f"{here}.labelSelector")
    return errors
