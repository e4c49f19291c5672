"""What the API knows of one resource: its names, its Struct, its verbs, and the behaviour its kind adds.

A kind's module makes one `ResourceInfo` and lists it in `RESOURCES`; `scheme.py` finds it there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from master.api.meta import Object
from master.api.status import FieldError
from master.api.strategy import Strategy

READ_WRITE = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")
CONNECT_VERBS = ("create", "get")
PROXY_VERBS = ("create", "delete", "get", "patch", "update")

Tree = dict[str, Any]
Cell = str | int | bool | None


class Subresource(NamedTuple):
    """The kind that a subresource speaks; group and version are empty when they are the parent's."""

    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


def status_of(kind: str) -> Subresource:
    return Subresource("", "", kind, STATUS_VERBS)


SCALE = Subresource("autoscaling", "v1", "Scale", STATUS_VERBS)


class Column(NamedTuple):
    """A column of `kubectl get`; priority 1 shows only with `-o wide`."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    format: str = ""
    priority: int = 0


NAME = Column("Name", format="name")
AGE = Column("Age")


def wide(name: str) -> Column:
    return Column(name, priority=1)


def _leave(obj: Any) -> Any:
    return obj


def _no_errors(*_: Any) -> list[FieldError]:
    return []


def _name_and_creation(obj: Any, _now_s: float) -> list[Cell]:
    """The row of a kind without columns of its own."""
    return [obj.metadata.name, obj.metadata.creation_timestamp]


def _no_fields(_: Tree) -> dict[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True, eq=False)
class ResourceInfo:
    """One resource. `plural` is empty for kinds that exist only as the body of a subresource (Scale, Eviction)."""

    group: str
    version: str
    kind: str
    plural: str
    struct: type[Object]
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = READ_WRITE
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    strategy: Strategy = field(default_factory=Strategy)
    columns: tuple[Column, ...] = (NAME, Column("Created At", "date"))
    default: Callable[[Any], Any] = _leave
    """Fills in defaults, in place, and returns the same object."""
    validate: Callable[[Any], list[FieldError]] = _no_errors
    validate_update: Callable[[Any, Any], list[FieldError]] = _no_errors
    """(new, old) -> every fault of an update, those of `validate` included."""
    cells: Callable[[Any, float], list[Cell]] = _name_and_creation
    """(object, now in epoch seconds) -> the cells of its table row, in the order of `columns`."""
    own_fields: Callable[[Tree], dict[str, str]] = _no_fields
    """The selectable fields besides name and namespace."""

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def qualified(self) -> str:
        """`pods`, `deployments.apps`: how messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @cached_property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @cached_property
    def selectable(self) -> tuple[str, ...]:
        """The field labels a field selector may use."""
        names = ("metadata.name", "metadata.namespace") if self.namespaced else ("metadata.name",)
        return names + tuple(self.own_fields({}))

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Object]:
        return msgspec.json.Decoder(self.struct)

    @cached_property
    def _prefix(self) -> bytes:
        return b'{"apiVersion":"%s","kind":"%s",' % (self.api_version.encode(), self.kind.encode())

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection or object; without a namespace a namespaced collection spans all of them."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def decode(self, body: bytes) -> Any:
        """A trusted body (our own store, our own server) as a Struct; `decode.py` judges the bodies of strangers."""
        return self._decoder.decode(body)

    def encode(self, obj: Object) -> bytes:
        """JSON with kind and apiVersion, whether or not the object carries them."""
        if obj.kind and obj.api_version:
            return _ENCODER.encode(obj)
        if obj.kind or obj.api_version:
            return _ENCODER.encode(msgspec.structs.replace(obj, kind=self.kind, api_version=self.api_version))
        return self._prefix + _ENCODER.encode(obj)[1:]  # metadata is always written, so the rest is not empty

    def fields(self, tree: Tree) -> dict[str, str]:
        """The values of all selectable fields of an object in its dict form."""
        metadata = tree.get("metadata") or {}
        fields = {"metadata.name": metadata.get("name", "")}
        if self.namespaced:
            fields["metadata.namespace"] = metadata.get("namespace", "")
        return fields | self.own_fields(tree)


_ENCODER = msgspec.json.Encoder()
