"""The watch cache of one resource: every object as bytes in key order, recent history, and watchers.

Theory of operation. The feed (`feed.py`) follows the store's log and calls `apply` once per event, in order of
revision; nothing else changes a cache. Everything runs on one event loop, so that a snapshot and a subscription taken
without an `await` between them fit together exactly. History is a bounded window of events: watches resume from it,
and a state at an earlier revision is the present one with the later events taken back.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sortedcontainers import SortedDict

from master.api.scheme import ResourceInfo
from master.apiserver.entry import Entry, entry_of
from master.apiserver.selection import Selection
from master.apiserver.watchers import Change, Watchers

HISTORY_EVENTS = 8192
"""Events kept per resource for resuming watches (kube-apiserver's watch cache holds 100 to 102,400)."""


class Snapshot(NamedTuple):
    entries: list[Entry]
    revision: int


class HistoryGone(Exception):
    """The window does not reach back to the revision asked for."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history begins at revision {oldest}")
        self.oldest = oldest


class ResourceCache:
    def __init__(self, info: ResourceInfo) -> None:
        self.info = info
        self.watchers = Watchers()
        self._entries: SortedDict = SortedDict()
        self._history: deque[Change] = deque()
        self._floor = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def floor(self) -> int:
        """The oldest revision from which all later events are known."""
        return self._floor

    def load(self, objects: Iterable[tuple[str, int, bytes]], revision: int) -> None:
        """Begin anew from a snapshot of the store. Watchers are ended: they may have missed events."""
        self.watchers.end_all()
        self._history.clear()
        self._floor = revision
        self._entries = SortedDict((key, entry_of(self.info, key, modified, raw)) for key, modified, raw in objects)

    def apply(self, key: str, revision: int, raw: bytes | None) -> None:
        """One event of the store; `raw` None is a deletion."""
        before: Entry | None = self._entries.get(key)
        after: Entry | None = None
        if raw is not None:
            after = entry_of(self.info, key, revision, raw)
            self._entries[key] = after
        elif before is None:
            return
        else:
            del self._entries[key]
        change = Change(revision, before, after)
        if len(self._history) >= HISTORY_EVENTS:
            self._floor = self._history.popleft().revision
        self._history.append(change)
        self.watchers.dispatch(change)

    def get(self, key: str) -> Entry | None:
        entry: Entry | None = self._entries.get(key)
        return entry

    def select(self, selection: Selection) -> list[Entry]:
        """The matching objects of the present state, in key order."""
        if selection.is_everything:
            return list(self._entries.values())
        return [entry for entry in self._candidates(selection) if selection.matches(entry)]

    def _candidates(self, selection: Selection) -> Iterator[Entry]:
        namespace, name = selection.namespace, selection.name
        if name and (namespace or not self.info.namespaced):
            entry = self.get(f"{namespace}/{name}" if self.info.namespaced else name)
            return iter((entry,) if entry is not None else ())
        if namespace:
            # "0" is the character after "/": the range holds exactly the keys under the namespace.
            keys = self._entries.irange(f"{namespace}/", f"{namespace}0", inclusive=(True, False))
            return (self._entries[key] for key in keys)
        return iter(self._entries.values())

    def select_at(self, selection: Selection, revision: int) -> list[Entry]:
        """The matching objects of an earlier state. Raises HistoryGone."""
        if revision < self._floor:
            raise HistoryGone(self._floor)
        undone: dict[str, Entry | None] = {}
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            undone[change.key] = change.before
        if not undone:
            return self.select(selection)
        kept = [entry for entry in self.select(selection) if entry.key not in undone]
        restored = [entry for entry in undone.values() if entry is not None and selection.matches(entry)]
        return sorted(kept + restored, key=lambda entry: entry.key)

    def changes_after(self, revision: int) -> list[Change]:
        """All events later than the revision. Raises HistoryGone."""
        if revision < self._floor:
            raise HistoryGone(self._floor)
        later: list[Change] = []
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            later.append(change)
        later.reverse()
        return later
