"""How the API server treats writes of a kind: what a client may set, what is kept, when the generation grows.

Pure: objects are changed in place, nothing else is touched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from master.api.meta import Object

Propagation = Literal["Background", "Orphan", ""]


def _nothing(_: Any) -> None:
    pass


def _nothing_of_two(_new: Any, _old: Any) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """Facts and hooks of one kind. Hooks run before validation and change the object in place."""

    has_generation: bool = False
    has_status: bool = False
    """Status has its own subresource: the main resource keeps the stored status, `/status` the stored rest."""
    keeps_status_on_create: bool = False
    """A kubelet registers its Node together with its status."""
    allow_create_on_update: bool = False
    must_set_version: bool = False
    delete_returns_object: bool = False
    graceful_delete: bool = False
    default_propagation: Propagation = "Background"
    status_keeps_labels: bool = False
    """`/status` keeps the stored labels too (Deployment and its kin), not only owner references."""
    on_create: Callable[[Any], None] = _nothing
    on_update: Callable[[Any, Any], None] = _nothing_of_two
    """(new, old)"""
    on_status: Callable[[Any, Any], None] = _nothing_of_two
    """(new, old), for writes of `/status`"""

    def prepare_create(self, obj: Any) -> None:
        """What a client may not set on creation is dropped or set."""
        if self.has_status and not self.keeps_status_on_create:
            obj.status = type(obj.status)()
        obj.metadata.generation = 1 if self.has_generation else 0
        self.on_create(obj)

    def prepare_update(self, new: Any, old: Any) -> None:
        """The stored status stays; the generation grows when anything but metadata and status differs."""
        if self.has_status:
            new.status = old.status
        new.metadata.generation = old.metadata.generation
        self.on_update(new, old)
        if self.has_generation and spec_differs(new, old):
            new.metadata.generation = old.metadata.generation + 1

    def prepare_status_update(self, new: Any, old: Any) -> None:
        """Everything but status and loose metadata is kept from the stored object."""
        for name in new.__struct_fields__:
            if name not in ("status", "metadata", "kind", "api_version"):
                setattr(new, name, getattr(old, name))
        new.metadata.generation = old.metadata.generation
        new.metadata.owner_references = old.metadata.owner_references
        if self.status_keeps_labels:
            new.metadata.labels = old.metadata.labels
        self.on_status(new, old)


def spec_differs(new: Object, old: Object) -> bool:
    """Whether anything but metadata and status differs, as the wire would show it."""
    for name in new.__struct_fields__:
        if name in ("metadata", "status", "kind", "api_version"):
            continue
        left, right = getattr(new, name), getattr(old, name)
        if left != right and msgspec.json.encode(left) != msgspec.json.encode(right):
            return True
    return False
