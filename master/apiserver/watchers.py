"""Fan-out of changes to watchers: one decision per selection, one encoding per form, however many watchers there are.

Watchers with the same selection form a group. A group whose selection demands one value of an indexed field
(`spec.nodeName=node-1`, a namespace, a name) is looked up by that value, the others are asked one by one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from master.apiserver.entry import Entry
from master.apiserver.selection import Selection

BUFFER_EVENTS = 10_000
"""Events that a watcher may lag behind before it is cut (its client then lists again)."""
BUFFER_BYTES = 32 * 1024 * 1024

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"

Encoder = Callable[[str, Entry], bytes]
"""(event type, object) → one line of a watch stream."""


class Change:
    """One event: the object before and after. Lines are encoded on first use and shared."""

    __slots__ = ("_gone", "_lines", "after", "before", "key", "revision")

    def __init__(self, revision: int, before: Entry | None, after: Entry | None) -> None:
        self.revision = revision
        self.before = before
        self.after = after
        entry = after or before
        assert entry is not None, "a change is of some object"
        self.key = entry.key
        self._gone: Entry | None = None
        self._lines: dict[tuple[str, str], bytes] = {}

    def seen_by(self, selection: Selection) -> str:
        """The type of the event for a watcher with this selection; "" when it does not see it."""
        before = self.before is not None and selection.matches(self.before)
        after = self.after is not None and selection.matches(self.after)
        if after:
            return MODIFIED if before else ADDED
        return DELETED if before else ""

    def subject(self, kind: str) -> Entry:
        """The object that the event shows: on leaving, the last state that matched at the new revision."""
        if kind != DELETED:
            assert self.after is not None
            return self.after
        if self._gone is None:
            assert self.before is not None
            self._gone = self.before.moved_to(self.revision)
        return self._gone

    def line(self, kind: str, form: str, encode: Encoder) -> bytes:
        line = self._lines.get((kind, form))
        if line is None:
            line = self._lines[kind, form] = encode(kind, self.subject(kind))
        return line


class Watcher:
    """A bounded buffer of lines between the dispatcher and one client."""

    def __init__(
        self,
        selection: Selection,
        form: str,
        encode: Encoder,
        *,
        encode_first: Encoder | None = None,
        after: int = 0,
    ) -> None:
        self.selection = selection
        self.after = after
        """Events up to this revision are not sent: the client saw them elsewhere, this server may lag behind."""
        self._form = form
        self._encode = encode
        self._encode_first = encode_first
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self.ended = False
        self.overflowed = False

    def offer(self, change: Change, kind: str) -> None:
        if self.ended or change.revision <= self.after:
            return
        if self._encode_first is not None:
            line = self._encode_first(kind, change.subject(kind))
            self._encode_first = None
        else:
            line = change.line(kind, self._form, self._encode)
        if len(self._lines) >= BUFFER_EVENTS or self._size + len(line) > BUFFER_BYTES:
            self.overflowed = True
            self.end()
            return
        self._lines.append(line)
        self._size += len(line)
        self._wake.set()

    def end(self) -> None:
        """No more events; what is buffered is still delivered, except after an overflow."""
        self.ended = True
        if self.overflowed:
            self._lines.clear()
        self._wake.set()

    def take(self) -> bytes:
        """Everything that waits, joined; empty when nothing does."""
        taken = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        self._wake.clear()
        return taken

    async def wait(self, timeout_s: float) -> None:
        """Until there is something to take, the watcher has ended, or time is up."""
        if self._lines or self.ended:
            return
        try:
            async with asyncio.timeout(max(timeout_s, 0)):
                await self._wake.wait()
        except TimeoutError:
            return


class _Group:
    __slots__ = ("selection", "watchers")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.watchers: list[Watcher] = []


class Watchers:
    """All watchers of one resource."""

    def __init__(self) -> None:
        self._groups: dict[object, _Group] = {}
        self._pinned: dict[str, dict[str, list[_Group]]] = {}
        self._free: list[_Group] = []

    def __len__(self) -> int:
        return sum(len(group.watchers) for group in self._groups.values())

    def add(self, watcher: Watcher) -> None:
        selection = watcher.selection
        group = self._groups.get(selection.identity)
        if group is None:
            group = self._groups[selection.identity] = _Group(selection)
            self._shelf(selection).append(group)
        group.watchers.append(watcher)

    def remove(self, watcher: Watcher) -> None:
        selection = watcher.selection
        group = self._groups.get(selection.identity)
        if group is None or watcher not in group.watchers:
            return
        group.watchers.remove(watcher)
        if not group.watchers:
            del self._groups[selection.identity]
            self._shelf(selection).remove(group)
            if selection.pin is not None and not self._pinned[selection.pin[0]][selection.pin[1]]:
                del self._pinned[selection.pin[0]][selection.pin[1]]

    def _shelf(self, selection: Selection) -> list[_Group]:
        if selection.pin is None:
            return self._free
        name, value = selection.pin
        return self._pinned.setdefault(name, {}).setdefault(value, [])

    def dispatch(self, change: Change) -> None:
        for group in self._interested(change):
            kind = change.seen_by(group.selection)
            if kind:
                for watcher in group.watchers:
                    watcher.offer(change, kind)

    def _interested(self, change: Change) -> Iterator[_Group]:
        yield from self._free
        for name, shelves in self._pinned.items():
            if shelves:
                values = {entry.field(name) for entry in (change.before, change.after) if entry is not None}
                for value in values:
                    yield from shelves.get(value, ())

    def end_all(self) -> None:
        for group in list(self._groups.values()):
            for watcher in list(group.watchers):
                watcher.end()
