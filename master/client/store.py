"""The informer's memory: objects by key, by namespace and by any index; pure, and told apart from how it is filled."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from master.api.meta import Object
from master.api.selectors import Selector

T = TypeVar("T", bound=Object)

IndexFunction = Callable[[T], Iterable[str]]

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"


class Delta(msgspec.Struct, Generic[T], frozen=True):
    """What became of one object. `old` is what was known before; for DELETED `object` is its last known state."""

    type: str
    object: T
    old: T | None = None


def object_key(obj: Object) -> str:
    """ "namespace/name", or just the name of a cluster-scoped object."""
    meta = obj.metadata
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


class ObjectStore(Generic[T]):
    """Objects in it are shared with every reader and must never be changed in place."""

    def __init__(self) -> None:
        self._objects: dict[str, T] = {}
        self._functions: dict[str, IndexFunction[T]] = {"namespace": lambda obj: (obj.metadata.namespace,)}
        self._indexes: dict[str, dict[str, dict[str, T]]] = {"namespace": {}}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def add_index(self, name: str, function: IndexFunction[T]) -> None:
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._file(name, key, obj)

    def get(self, key: str) -> T | None:
        return self._objects.get(key)

    def by_index(self, name: str, value: str) -> list[T]:
        return list(self._indexes[name].get(value, {}).values())

    def select(self, namespace: str = "", selector: Selector | None = None) -> list[T]:
        found = self.by_index("namespace", namespace) if namespace else list(self._objects.values())
        if selector is None:
            return found
        return [obj for obj in found if selector.matches(obj.metadata.labels)]

    def put(self, obj: T) -> list[Delta[T]]:
        """Take in a state; none, one or (for another object of the same name) two deltas."""
        key = object_key(obj)
        old = self._objects.get(key)
        if old is not None and old.metadata.uid != obj.metadata.uid:
            return [*self.remove(key, old), *self.put(obj)]
        if old is not None and old.metadata.resource_version == obj.metadata.resource_version:
            return []
        if old is not None:
            self._unfile(key, old)
        self._objects[key] = obj
        for name in self._functions:
            self._file(name, key, obj)
        return [Delta(ADDED if old is None else MODIFIED, obj, old)]

    def remove(self, key: str, last: T | None = None) -> list[Delta[T]]:
        """Forget an object; `last` is its state at deletion where that is known."""
        old = self._objects.pop(key, None)
        if old is None:
            return []
        self._unfile(key, old)
        return [Delta(DELETED, last or old, old)]

    def replace(self, objects: Iterable[T]) -> list[Delta[T]]:
        """Take in a whole new list; the deltas are exactly what changed meanwhile."""
        fresh = {object_key(obj): obj for obj in objects}
        deltas = [delta for key in list(self._objects.keys() - fresh.keys()) for delta in self.remove(key)]
        for obj in fresh.values():
            deltas.extend(self.put(obj))
        return deltas

    def _file(self, name: str, key: str, obj: T) -> None:
        for value in self._functions[name](obj):
            self._indexes[name].setdefault(value, {})[key] = obj

    def _unfile(self, key: str, obj: T) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in function(obj):
                index[value].pop(key, None)
                if not index[value]:
                    del index[value]
