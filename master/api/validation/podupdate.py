"""What may change in the spec of an existing pod: images, a few deadlines, more tolerations, fewer gates."""

import msgspec

from master.api.core.podspec import PodSpec
from master.api.core.scheduling import Toleration
from master.api.status import FieldError

_UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
FORBIDDEN_CHANGE = f"pod updates may not change fields other than {','.join(_UPDATABLE)}\n"


def validate_pod_spec_update(new: PodSpec, old: PodSpec) -> list[FieldError]:
    """The rules of the main resource; `resize`, `ephemeralcontainers` and `binding` have their own."""
    errors: list[FieldError] = []
    if len(new.containers) != len(old.containers):
        return [FieldError.forbidden("spec.containers", "pod updates may not add or remove containers")]
    if len(new.init_containers) != len(old.init_containers):
        return [FieldError.forbidden("spec.initContainers", "pod updates may not add or remove containers")]
    errors += _deadline(new.active_deadline_seconds, old.active_deadline_seconds)
    errors += _tolerations(new.tolerations, old.tolerations)
    errors += _gates(new, old)
    changed = _forbidden_changes(new, old)
    if changed:
        shown = "\n".join(f"spec.{name}" for name in changed)
        errors.append(FieldError.forbidden("spec", FORBIDDEN_CHANGE + shown))
    return errors


def _deadline(new: int | None, old: int | None) -> list[FieldError]:
    path = "spec.activeDeadlineSeconds"
    if old is None or new == old:
        return []
    if new is None:
        return [FieldError.invalid(path, None, "must not update from a positive integer to nil value")]
    if new > old:
        return [FieldError.invalid(path, new, "must be less than or equal to previous value")]
    return []


def _tolerations(new: list[Toleration], old: list[Toleration]) -> list[FieldError]:
    """Existing tolerations stay, though their seconds may change; new ones may come."""
    kept = {(toleration.key, toleration.operator, toleration.value, toleration.effect) for toleration in new}
    if all((known.key, known.operator, known.value, known.effect) in kept for known in old):
        return []
    detail = "existing toleration can not be modified except its tolerationSeconds"
    return [FieldError.forbidden("spec.tolerations", detail)]


def _gates(new: PodSpec, old: PodSpec) -> list[FieldError]:
    before = {gate.name for gate in old.scheduling_gates}
    added = sorted(gate.name for gate in new.scheduling_gates if gate.name not in before)
    if added:
        detail = f"only deletion is allowed, but found new scheduling gates '{', '.join(added)}'"
        return [FieldError.forbidden("spec.schedulingGates", detail)]
    return []


def _forbidden_changes(new: PodSpec, old: PodSpec) -> list[str]:
    """Wire names of the fields that changed and may not."""
    allowed = msgspec.structs.replace(
        new,
        active_deadline_seconds=old.active_deadline_seconds,
        tolerations=old.tolerations,
        scheduling_gates=old.scheduling_gates,
        containers=[
            msgspec.structs.replace(after, image=before.image)
            for after, before in zip(new.containers, old.containers, strict=True)
        ],
        init_containers=[
            msgspec.structs.replace(after, image=before.image)
            for after, before in zip(new.init_containers, old.init_containers, strict=True)
        ],
    )
    if (old.termination_grace_period_seconds or 0) < 0 and new.termination_grace_period_seconds == 1:
        allowed.termination_grace_period_seconds = old.termination_grace_period_seconds
    if old.scheduling_gates:  # a gated pod may still be told where to go (KEP-3838)
        allowed.node_selector, allowed.affinity = old.node_selector, old.affinity
    names = zip(new.__struct_fields__, new.__struct_encode_fields__, strict=True)
    return [wire for name, wire in names if getattr(allowed, name) != getattr(old, name)]
