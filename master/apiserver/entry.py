"""One object in the watch cache: its bytes as clients see them, and what selectors need, parsed at most once."""

from collections.abc import Mapping

import msgspec

from master.api.scheme import ResourceInfo
from master.apiserver.keys import at_revision, with_revision


class _LightMeta(msgspec.Struct, rename="camel"):
    labels: dict[str, str] | None = None


class _Light(msgspec.Struct):
    """The labels alone: msgspec skips the rest of the object without building it."""

    metadata: _LightMeta


class _RawMetadata(msgspec.Struct):
    metadata: msgspec.Raw


_light = msgspec.json.Decoder(_Light)
_raw_metadata = msgspec.json.Decoder(_RawMetadata)
_tree = msgspec.json.Decoder()


class Entry:
    """An object at a revision. `data` carries the resourceVersion; it never changes."""

    __slots__ = ("_fields", "_labels", "data", "info", "key", "name", "namespace", "revision")

    def __init__(self, info: ResourceInfo, key: str, revision: int, data: bytes) -> None:
        self.info = info
        self.key = key
        self.revision = revision
        self.data = data
        self.namespace, _, self.name = key.rpartition("/")
        self._labels: Mapping[str, str] | None = None
        self._fields: Mapping[str, str] | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        if self._labels is None:
            self._labels = _light.decode(self.data).metadata.labels or {}
        return self._labels

    def field(self, name: str) -> str:
        """The value of a selectable field; absent fields are empty."""
        if name == "metadata.name":
            return self.name
        if name == "metadata.namespace":
            return self.namespace
        if self._fields is None:
            self._fields = self.info.fields(_tree.decode(self.data))
        return self._fields.get(name, "")

    @property
    def metadata(self) -> msgspec.Raw:
        """The bytes of `metadata`, as they stand in `data`."""
        return _raw_metadata.decode(self.data).metadata

    def moved_to(self, revision: int) -> "Entry":
        """The same object as of a later revision: what a DELETED event shows."""
        return Entry(self.info, self.key, revision, at_revision(self.data, revision))


def entry_of(info: ResourceInfo, key: str, revision: int, raw: bytes) -> Entry:
    """An entry out of stored bytes."""
    return Entry(info, key, revision, with_revision(raw, revision))
