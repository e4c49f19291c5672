"""Validation that ReplicaSet, Deployment and their kin share: selector, template, counts, percentages."""

import re

from master.api.core.podspec import PodTemplateSpec
from master.api.meta import LabelSelector
from master.api.model import IntOrString
from master.api.selectors import selector_from
from master.api.status import FieldError
from master.api.validation.metadata import not_negative, validate_label_selector
from master.api.validation.podspec import validate_template

_PERCENT = re.compile("[0-9]+%")
_PERCENT_WORDS = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)


def validate_selector_and_template(
    selector: LabelSelector | None, template: PodTemplateSpec, *, owner: str
) -> list[FieldError]:
    """The selector is there, is not empty, and finds the template's pods. `owner` is the kind, for the messages."""
    errors: list[FieldError] = []
    if selector is None:
        errors.append(FieldError.required("spec.selector"))
    else:
        errors += validate_label_selector(selector, "spec.selector")
        if not selector.match_labels and not selector.match_expressions:
            detail = f"empty selector is invalid for {owner.lower()}"
            errors.append(FieldError.invalid("spec.selector", selector, detail))
    try:
        matcher = selector_from(selector)
    except ValueError:
        return [*errors, FieldError.invalid("spec.selector", selector, "invalid label selector")]
    return errors + validate_template(template, "spec.template", matcher, owner="ReplicaSet")


def validate_count_or_percent(value: IntOrString | None, path: str) -> list[FieldError]:
    """`3` or `"25%"`, not negative."""
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [FieldError.invalid(path, value, _PERCENT_WORDS)]
    if value is not None and value < 0:
        return [not_negative(path, value)]
    return []


def percent_of(value: IntOrString | None) -> int | None:
    """25 for `"25%"`, None for a count."""
    return int(value[:-1]) if isinstance(value, str) and _PERCENT.fullmatch(value) else None


def is_zero(value: IntOrString | None) -> bool:
    return value == 0 or percent_of(value) == 0
