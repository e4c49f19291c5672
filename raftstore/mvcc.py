"""The revisioned key space: every replica's copy of the data. Pure: no I/O, no clock, no chance.

Each committed transaction that changes something takes the next revision. A key's versions are immutable
`KeyValue`s; the newest is in `_live`, those that are older but still visible at some kept revision are in
`_history`, oldest first, with a tombstone (version 0) for each deletion. `_events` is the change log since the
compaction revision; watches and snapshots read it. Compaction drops what no kept revision can see.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sortedcontainers import SortedList

from raftstore.errors import Compacted, FutureRevision
from raftstore.keys import prefix_end
from raftstore.protocol import KeyValue, RangeResult, WatchEvent

FIRST_REVISION = 1
"""The revision of a store in which nothing was ever written (as etcd counts)."""

# A page of a range ends at whichever comes first; the client asks for the next one at the same revision.
RANGE_PAGE_BYTES = 4 << 20
_KEY_OVERHEAD_BYTES = 64


class SpaceView(NamedTuple):
    """An immutable picture of a key space, cheap to take: versions are shared, only lists are copied."""

    revision: int
    compact_revision: int
    live: list[KeyValue]
    older: list[KeyValue]
    events: list[WatchEvent]

    def base(self) -> Iterator[KeyValue]:
        """The keys as they were at the compaction revision; `events` lead from there to `revision`."""
        compact_revision = self.compact_revision
        yield from (kv for kv in self.live if kv.mod_revision <= compact_revision)
        yield from self.older


class KeySpace:
    """Versions of keys by revision."""

    def __init__(self) -> None:
        self.revision = FIRST_REVISION
        self.compact_revision = 0
        self.value_bytes = 0
        self.history_bytes = 0
        self._live: dict[str, KeyValue] = {}
        self._live_keys: SortedList = SortedList()
        self._history: dict[str, list[KeyValue]] = {}
        self._history_keys: SortedList = SortedList()
        self._events: list[WatchEvent] = []
        self._event_revisions: list[int] = []

    def __len__(self) -> int:
        return len(self._live)

    # --- writes; the caller raises `revision` once the whole transaction has been recorded

    def put(self, key: str, value: bytes, lease: int, revision: int) -> KeyValue:
        """Record a new version of a key at a revision after the current one."""
        previous = self._live.get(key)
        if previous is None:
            kv = KeyValue(key, value, revision, revision, 1, lease)
            self._live_keys.add(key)
        else:
            kv = KeyValue(key, value, previous.create_revision, revision, previous.version + 1, lease)
            self._remember(key, previous)
        self._live[key] = kv
        self.value_bytes += len(value)
        self._record(WatchEvent("PUT", kv, previous))
        return kv

    def delete(self, key: str, revision: int) -> KeyValue | None:
        """Record a deletion; None when the key is not there."""
        previous = self._live.pop(key, None)
        if previous is None:
            return None
        self._live_keys.remove(key)
        tombstone = KeyValue(key, b"", 0, revision, 0)
        self._remember(key, previous)
        self._history[key].append(tombstone)
        self._record(WatchEvent("DELETE", tombstone, previous))
        return previous

    def _remember(self, key: str, version: KeyValue) -> None:
        versions = self._history.get(key)
        if versions is None:
            self._history[key] = [version]
            self._history_keys.add(key)
        else:
            versions.append(version)
        self.value_bytes -= len(version.value)
        self.history_bytes += len(version.value)

    def _record(self, event: WatchEvent) -> None:
        assert event.kv.mod_revision == self.revision + 1
        self._events.append(event)
        self._event_revisions.append(event.kv.mod_revision)

    # --- reads

    def get(self, key: str) -> KeyValue | None:
        """The newest version of a key."""
        return self._live.get(key)

    def get_at(self, key: str, revision: int) -> KeyValue | None:
        """The version of a key that was current at a revision (0: the newest)."""
        if not revision:
            return self._live.get(key)
        self._check_revision(revision)
        return self._visible(key, revision)

    def _visible(self, key: str, revision: int) -> KeyValue | None:
        live = self._live.get(key)
        if live is not None and live.mod_revision <= revision:
            return live
        versions = self._history.get(key)
        if not versions:
            return None
        position = bisect_right(versions, revision, key=lambda kv: kv.mod_revision)
        found = versions[position - 1] if position else None
        return found if found is not None and found.version else None

    def keys_under(self, prefix: str) -> list[str]:
        """The live keys under a prefix, in order."""
        return list(self._live_keys.irange(prefix, prefix_end(prefix), (True, False)))

    def range(self, prefix: str, *, start_key: str = "", revision: int = 0, limit: int = 0) -> RangeResult:
        """Keys under a prefix at a revision, from `start_key` on, cut at `limit` keys or a page's bytes."""
        start, end = max(prefix, start_key), prefix_end(prefix)
        if not revision or revision == self.revision:
            found: Iterator[KeyValue] = (self._live[k] for k in self._live_keys.irange(start, end, (True, False)))
            kvs, more = _page(found, limit)
            return RangeResult(kvs, self.revision, more, self._count_live(start, end))
        self._check_revision(revision)
        kvs, more = _page(self._range_at(start, end, revision), limit)
        return RangeResult(kvs, revision, more, self._count_at(start, end, revision))

    def _range_at(self, start: str, end: str | None, revision: int) -> Iterator[KeyValue]:
        bounds = (start, end, (True, False))
        for key in _merge(self._live_keys.irange(*bounds), self._history_keys.irange(*bounds)):
            kv = self._visible(key, revision)
            if kv is not None:
                yield kv

    def _count_live(self, start: str, end: str | None) -> int:
        stop = len(self._live_keys) if end is None else self._live_keys.bisect_left(end)
        return max(0, int(stop - self._live_keys.bisect_left(start)))

    def _count_at(self, start: str, end: str | None, revision: int) -> int:
        # Only keys changed since the compaction can differ from now, so only they are looked at.
        count = self._count_live(start, end)
        for key in self._history_keys.irange(start, end, (True, False)):
            count += (self._visible(key, revision) is not None) - (key in self._live)
        for position in range(bisect_right(self._event_revisions, revision), len(self._events)):
            event = self._events[position]
            key = event.kv.key
            if event.prev_kv is None and key not in self._history and start <= key and (end is None or key < end):
                count -= 1  # created after the revision and never changed since
        return count

    def _check_revision(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is after the current one, {self.revision}")
        if revision < self.compact_revision:
            raise Compacted(self.compact_revision)

    def events_since(self, revision: int, limit: int, limit_bytes: int = RANGE_PAGE_BYTES) -> list[WatchEvent]:
        """Events from a revision (inclusive) on, about as many as the limits say but whole revisions only."""
        if revision <= self.compact_revision:
            raise Compacted(self.compact_revision)
        first = bisect_left(self._event_revisions, revision)
        last = min(first + limit, len(self._events))
        size_bytes = 0
        for position in range(first, last):
            size_bytes += len(self._events[position].kv.value)
            if size_bytes > limit_bytes:
                last = position + 1
                break
        if first < last < len(self._events):
            last = bisect_right(self._event_revisions, self._event_revisions[last - 1])
        return self._events[first:last]

    def event_count(self) -> int:
        """How many events the history holds."""
        return len(self._events)

    def revision_before_newest(self, events: int) -> int:
        """The compaction revision that would keep about the newest `events` events."""
        if len(self._events) <= events:
            return self.compact_revision
        return self._event_revisions[len(self._events) - events - 1]

    # --- compaction

    def compact(self, revision: int) -> None:
        """Forget every version that is not visible at `revision` or later."""
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} is after the current one, {self.revision}")
        if revision <= self.compact_revision:
            raise Compacted(self.compact_revision)
        position = bisect_right(self._event_revisions, revision)
        changed = sorted({event.kv.key for event in self._events[:position]})
        del self._events[:position]
        del self._event_revisions[:position]
        self.compact_revision = revision
        for key in changed:
            self._compact_key(key, revision)

    def _compact_key(self, key: str, revision: int) -> None:
        versions = self._history.get(key)
        if not versions:
            return
        live = self._live.get(key)
        if live is not None and live.mod_revision <= revision:
            kept: list[KeyValue] = []
        else:
            newest_visible = bisect_right(versions, revision, key=lambda kv: kv.mod_revision) - 1
            kept = versions[max(0, newest_visible) :]
            if kept and kept[0].mod_revision <= revision and not kept[0].version:
                kept = kept[1:]
        self.history_bytes -= sum(len(kv.value) for kv in versions[: len(versions) - len(kept)])
        if kept:
            self._history[key] = kept
        else:
            del self._history[key]
            self._history_keys.remove(key)

    # --- snapshots

    def view(self) -> SpaceView:
        """A picture for a snapshot, to be encoded at leisure while the key space goes on changing."""
        at_compaction = self.compact_revision
        older: list[KeyValue] = []
        for key in self._history_keys:
            live = self._live.get(key)
            if live is None or live.mod_revision > at_compaction:
                version = self._visible(key, at_compaction)
                if version is not None:
                    older.append(version)
        return SpaceView(self.revision, at_compaction, list(self._live.values()), older, self._events.copy())

    def restore(
        self, revision: int, compact_revision: int, base: Iterable[KeyValue], events: Iterable[WatchEvent]
    ) -> None:
        """Become the key space a view was taken of."""
        KeySpace.__init__(self)
        self.compact_revision = compact_revision
        for kv in base:
            self._live[kv.key] = kv
            self.value_bytes += len(kv.value)
        self._live_keys.update(self._live)
        for event in events:
            self.revision = event.kv.mod_revision - 1
            self._replay(event)
        self.revision = revision

    def _replay(self, event: WatchEvent) -> None:
        kv = event.kv
        if event.type == "DELETE":
            self.delete(kv.key, kv.mod_revision)
        else:
            self.put(kv.key, kv.value, kv.lease, kv.mod_revision)

    def live(self) -> Iterable[KeyValue]:
        """The newest version of every key, in no particular order."""
        return self._live.values()


def _page(found: Iterator[KeyValue], limit: int) -> tuple[list[KeyValue], bool]:
    kvs: list[KeyValue] = []
    size_bytes = 0
    for kv in found:
        if (limit and len(kvs) >= limit) or size_bytes >= RANGE_PAGE_BYTES:
            return kvs, True
        kvs.append(kv)
        size_bytes += len(kv.value) + len(kv.key) + _KEY_OVERHEAD_BYTES
    return kvs, False


def _merge(left: Iterator[str], right: Iterator[str]) -> Iterator[str]:
    """Two ascending iterators as one, without repeats."""
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        smaller = b if a is None or (b is not None and b < a) else a
        assert smaller is not None
        yield smaller
        if a == smaller:
            a = next(left, None)
        if b == smaller:
            b = next(right, None)
