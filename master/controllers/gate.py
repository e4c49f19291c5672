"""Before a key is reconciled again, the caches must show what its last round wrote and deleted (KEP-5647)."""

from typing import Any

import msgspec

from master.api.meta import Object
from master.client.consistency import OwnWrites
from master.client.informer import Informer
from master.client.rest import object_key


class _Deletion(msgspec.Struct, frozen=True):
    kind: type[Any]
    key: str
    uid: str


class Gate:
    """Writes are compared by version; a deletion has none, so the cache must show its object gone or going."""

    def __init__(self, informers: list[Informer[Any]]) -> None:
        self._informers = {informer.kind: informer for informer in informers}
        self._writes = OwnWrites(*informers)
        self._deletions: dict[str, set[_Deletion]] = {}

    def wrote(self, key: str, answer: Object) -> None:
        self._writes.note(key, answer)

    def deleted(self, key: str, obj: Object) -> None:
        if type(obj) in self._informers:
            deletion = _Deletion(type(obj), object_key(obj), obj.metadata.uid)
            self._deletions.setdefault(key, set()).add(deletion)

    def is_open(self, key: str) -> bool:
        waiting = {deletion for deletion in self._deletions.get(key, ()) if not self._shows(deletion)}
        if waiting:
            self._deletions[key] = waiting
            return False
        self._deletions.pop(key, None)
        return self._writes.seen(key)

    def _shows(self, deletion: _Deletion) -> bool:
        cached = self._informers[deletion.kind].get(deletion.key)
        return cached is None or cached.metadata.uid != deletion.uid or cached.metadata.deletion_timestamp is not None
