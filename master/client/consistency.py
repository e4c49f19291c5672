"""Read your own writes: before a key is reconciled again, the caches must have seen what the last round wrote.

Without this a controller that has just created a pod looks into a cache that lags, sees none, and creates another.
Noting the resourceVersion of each own write and comparing it with the informer's replaces the older bookkeeping of
expectations: it is exact, and a missed event cannot wedge it (KEP-5647).
"""

from typing import Any, Protocol

from master.api.meta import Object


class HasVersion(Protocol):
    """What is asked of an informer: how far it has come."""

    @property
    def kind(self) -> type[Any]: ...

    @property
    def resource_version(self) -> str: ...


class OwnWrites:
    """Per reconciled key and written kind the newest version written. Bounded by the keys in flight."""

    def __init__(self, *informers: HasVersion) -> None:
        self._informers: dict[type[Any], HasVersion] = {informer.kind: informer for informer in informers}
        self._written: dict[str, dict[type[Any], int]] = {}

    def note(self, key: str, written: Object) -> None:
        """`written` is the server's answer to a write made for `key`. Kinds without an informer are ignored."""
        kind = type(written)
        if kind not in self._informers:
            return
        version = version_number(written.metadata.resource_version)
        kinds = self._written.setdefault(key, {})
        kinds[kind] = max(version, kinds.get(kind, 0))

    def seen(self, key: str) -> bool:
        """Whether every informer has reached what was written for the key; if not, requeue with back-off."""
        kinds = self._written.get(key)
        if kinds is None:
            return True
        for kind in [kind for kind, version in kinds.items() if self._reached(kind) >= version]:
            del kinds[kind]
        if kinds:
            return False
        del self._written[key]
        return True

    def forget(self, key: str) -> None:
        """The key's object is gone."""
        self._written.pop(key, None)

    def _reached(self, kind: type[Any]) -> int:
        return version_number(self._informers[kind].resource_version)


def version_number(resource_version: str) -> int:
    """Our versions are one global counter in decimal; clients of ours may compare them (client-go does too)."""
    return int(resource_version or 0)
