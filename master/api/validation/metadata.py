"""Validation of object metadata, labels, annotations and label selectors."""

from collections.abc import Callable, Iterable, Mapping

from master.api.meta import LabelSelector, ObjectMeta, OwnerReference
from master.api.status import FieldError
from master.api.validation.names import (
    dns_label_faults,
    dns_subdomain_faults,
    generated_prefix,
    label_key_faults,
    label_value_faults,
)

ANNOTATIONS_MAX_BYTES = 256 * 1024
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})

NameFaults = Callable[[str], list[str]]


def validate_metadata(
    metadata: ObjectMeta, *, namespaced: bool = True, name_faults: NameFaults = dns_subdomain_faults
) -> list[FieldError]:
    """The metadata of an object as it will be stored (its name may still be generated)."""
    errors: list[FieldError] = []
    if metadata.generate_name:
        for fault in name_faults(generated_prefix(metadata.generate_name)):
            errors.append(FieldError.invalid("metadata.generateName", metadata.generate_name, fault))
    if metadata.name:
        errors += FieldError.invalid_each("metadata.name", metadata.name, name_faults(metadata.name))
    elif not metadata.generate_name:
        errors.append(FieldError.required("metadata.name", "name or generateName is required"))
    if namespaced:
        errors += _namespace_errors(metadata.namespace)
    elif metadata.namespace:
        errors.append(FieldError.forbidden("metadata.namespace", "not allowed on this type"))
    if metadata.generation < 0:
        errors.append(not_negative("metadata.generation", metadata.generation))
    errors += validate_labels(metadata.labels, "metadata.labels")
    errors += validate_annotations(metadata.annotations, "metadata.annotations")
    errors += _owner_errors(metadata.owner_references)
    errors += _finalizer_errors(metadata.finalizers)
    return errors


def _namespace_errors(namespace: str) -> list[FieldError]:
    if not namespace:
        return [FieldError.required("metadata.namespace")]
    return FieldError.invalid_each("metadata.namespace", namespace, dns_label_faults(namespace))


def _owner_errors(owners: Iterable[OwnerReference]) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        if not owner.api_version.rpartition("/")[2]:
            errors.append(FieldError.invalid(f"{path}.apiVersion", owner.api_version, "version must not be empty"))
        for name, value in (("kind", owner.kind), ("name", owner.name), ("uid", owner.uid)):
            if not value:
                errors.append(FieldError.invalid(f"{path}.{name}", value, "must not be empty"))
        if owner.controller and controller:
            detail = f'Only one reference can have Controller set to true. Found "true" in references for {controller}'
            errors.append(FieldError.invalid("metadata.ownerReferences", "", f"{detail} and {owner.kind}/{owner.name}"))
        if owner.controller:
            controller = f"{owner.kind}/{owner.name}"
    return errors


def _finalizer_errors(finalizers: Iterable[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for finalizer in finalizers:
        path = "metadata.finalizers"
        errors += FieldError.invalid_each(path, finalizer, label_key_faults(finalizer))
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            errors.append(
                FieldError.invalid(
                    path, finalizer, "name is neither a standard finalizer name nor is it fully qualified"
                )
            )
    return errors


def validate_metadata_update(new: ObjectMeta, old: ObjectMeta) -> list[FieldError]:
    """What an update may not change about the identity of an object."""
    errors: list[FieldError] = []
    if old.deletion_timestamp is not None:
        added = [finalizer for finalizer in new.finalizers if finalizer not in old.finalizers]
        if added:
            listed = ", ".join(f'"{finalizer}"' for finalizer in sorted(added))
            detail = "no new finalizers can be added if the object is being deleted, found new finalizers "
            errors.append(FieldError.forbidden("metadata.finalizers", f"{detail}[]string{{{listed}}}"))
    for name, value, before in (
        ("name", new.name, old.name),
        ("namespace", new.namespace, old.namespace),
        ("uid", new.uid, old.uid),
        ("creationTimestamp", new.creation_timestamp, old.creation_timestamp),
    ):
        errors += immutable(f"metadata.{name}", value, before)
    if new.generation < old.generation:
        errors.append(FieldError.invalid("metadata.generation", new.generation, "must not be decremented"))
    return errors


def immutable(path: str, new: object, old: object) -> list[FieldError]:
    return [] if new == old else [FieldError.invalid(path, new, "field is immutable")]


def not_negative(path: str, value: int) -> FieldError:
    return FieldError.invalid(path, value, "must be greater than or equal to 0")


def at_least_zero(path: str, value: int | None) -> list[FieldError]:
    return [not_negative(path, value)] if value is not None and value < 0 else []


def validate_labels(labels: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += FieldError.invalid_each(path, key, label_key_faults(key))
        errors += FieldError.invalid_each(path, value, label_value_faults(value))
    return errors


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    size_bytes = 0
    for key, value in annotations.items():
        # Annotation keys may be written in capitals, label keys may not.
        errors += FieldError.invalid_each(path, key, label_key_faults(key.lower()))
        size_bytes += len(key.encode()) + len(value.encode())
    if size_bytes > ANNOTATIONS_MAX_BYTES:
        errors.append(FieldError.too_long(path, "", ANNOTATIONS_MAX_BYTES))
    return errors


def validate_label_selector(selector: LabelSelector, path: str) -> list[FieldError]:
    errors = validate_labels(selector.match_labels, f"{path}.matchLabels")
    for index, term in enumerate(selector.match_expressions):
        here = f"{path}.matchExpressions[{index}]"
        if term.operator in ("In", "NotIn"):
            if not term.values:
                errors.append(
                    FieldError.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
                )
        elif term.operator in ("Exists", "DoesNotExist"):
            if term.values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.append(FieldError.forbidden(f"{here}.values", detail))
        else:
            errors.append(FieldError.invalid(f"{here}.operator", term.operator, "not a valid selector operator"))
        errors += FieldError.invalid_each(f"{here}.key", term.key, label_key_faults(term.key))
        for position, value in enumerate(term.values):
            for fault in label_value_faults(value):
                errors.append(FieldError.invalid(f"{here}.values[{position}]", value, fault))
    return errors
