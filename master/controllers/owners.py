"""Who controls whom: controller references, and claiming (adopting what matches, releasing what no longer does)."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from master.api.meta import Object, OwnerReference
from master.api.scheme import SCHEME
from master.api.selectors import Selector

T = TypeVar("T", bound=Object)


class Claims(msgspec.Struct, Generic[T], frozen=True):
    """What an owner should do about the objects around it. `owned` are its already and stay so."""

    owned: tuple[T, ...]
    adopt: tuple[T, ...]
    release: tuple[T, ...]


def controller_of(obj: Object) -> OwnerReference | None:
    """The one owner that manages the object; others only keep it alive."""
    for reference in obj.metadata.owner_references:
        if reference.controller:
            return reference
    return None


def is_controlled_by(obj: Object, owner: Object) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.uid == owner.metadata.uid


def controller_reference(owner: Object) -> OwnerReference:
    """The reference that an owner puts into what it creates or adopts."""
    info = SCHEME.by_struct(type(owner))
    return OwnerReference(
        api_version=info.api_version,
        kind=info.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def controller_key(obj: Object, kind: type[Object]) -> str | None:
    """The queue key of the object's controller when that is of `kind`."""
    reference = controller_of(obj)
    info = SCHEME.by_struct(kind)
    if reference is None or reference.kind != info.kind or reference.api_version != info.api_version:
        return None
    return f"{obj.metadata.namespace}/{reference.name}"


def plan_claims(owner: Object, selector: Selector, candidates: Iterable[T]) -> Claims[T]:
    """The rules of Kubernetes' ControllerRefManager. An owner on its way out takes and gives nothing."""
    owned: list[T] = []
    adopt: list[T] = []
    release: list[T] = []
    owner_goes = owner.metadata.deletion_timestamp is not None
    for child in candidates:
        matches = selector.matches(child.metadata.labels)
        reference = controller_of(child)
        if reference is not None and reference.uid == owner.metadata.uid:
            if matches or owner_goes:
                owned.append(child)
            else:
                release.append(child)
        elif reference is None and matches and not owner_goes and child.metadata.deletion_timestamp is None:
            adopt.append(child)
    return Claims(tuple(owned), tuple(adopt), tuple(release))


def adoption_patch(owner: Object, child: Object) -> dict[str, Any]:
    """Strategic: adds one reference, if the child is still that very object."""
    reference = msgspec.to_builtins(controller_reference(owner))
    return {"metadata": {"uid": child.metadata.uid, "ownerReferences": [reference]}}


def release_patch(child: Object, owner_uids: Sequence[str]) -> dict[str, Any]:
    """Strategic: takes the references to these owners out."""
    references = [{"$patch": "delete", "uid": uid} for uid in owner_uids]
    return {"metadata": {"uid": child.metadata.uid, "ownerReferences": references}}
