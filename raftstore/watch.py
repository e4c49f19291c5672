"""Watches: committed events, streamed in order and without a gap to each connection that asked.

A watcher is a prefix and the next revision it has not yet seen; what it is owed is read from the history, so
nothing is queued for a slow one. While its connection's buffer is full it simply waits, and if it waits longer
than history is kept it is told `compacted`. Each second without events it is told how far it has come. A member
that has had no leader for some time ends its watches, so that their clients look for a better member.
"""

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from raftstore.answers import error_frame, failure
from raftstore.errors import Compacted, InvalidArgument
from raftstore.frames import Events, StartWatch
from raftstore.mvcc import KeySpace
from raftstore.protocol import WatchEvent
from raftstore.stream import Stream

PROGRESS_S: Final = 1.0
NO_LEADER_S: Final = 3.0
MAX_WATCHERS: Final = 1024
# Beyond this a connection is slow, and its watches wait.
SLOW_BYTES: Final = 4 << 20
_EVENTS_PER_READ: Final = 1000
_FRAGMENT_BYTES: Final = 1 << 20

_ENCODER: Final = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class _Watcher:
    stream: Stream
    request_id: int
    prefix: str
    next_revision: int
    with_previous: bool
    told_at_s: float


class WatchHub:
    """Every watch on this member."""

    def __init__(self, space: KeySpace) -> None:
        self._space = space
        self._watchers: list[_Watcher] = []
        self._pumped_revision = 0
        self._some_are_behind = False
        self._leaderless_since_s: float | None = None
        self._touched: set[Stream] = set()

    def add(self, stream: Stream, request: StartWatch, now_s: float) -> None:
        """Begin a watch; its first events follow with the next pump."""
        if len(self._watchers) >= MAX_WATCHERS:
            self._tell(stream, failure(request.request_id, "unavailable", "too many watches"))
            return
        start = request.start_revision or self._space.revision + 1
        if start < 0:
            self._tell(stream, error_frame(request.request_id, InvalidArgument("a revision may not be negative")))
            return
        if start <= self._space.compact_revision:
            self._tell(stream, error_frame(request.request_id, Compacted(self._space.compact_revision)))
            return
        self._watchers.append(
            _Watcher(stream, request.request_id, request.prefix, start, request.with_previous, now_s - PROGRESS_S)
        )
        self._some_are_behind = True

    def remove(self, stream: Stream) -> None:
        """A connection has ended."""
        self._watchers = [watcher for watcher in self._watchers if watcher.stream is not stream]
        self._touched.discard(stream)

    def pump(self, now_s: float) -> None:
        """Send every watcher what it has not seen."""
        space = self._space
        if not self._watchers or (self._pumped_revision == space.revision and not self._some_are_behind):
            self._pumped_revision = space.revision
            return
        self._pumped_revision = space.revision
        self._some_are_behind = False
        encoded: dict[tuple[int, str, bool], bytes] = {}
        for watcher in list(self._watchers):
            if watcher.next_revision <= space.revision:
                self._pump_one(watcher, now_s, encoded)

    def _pump_one(self, watcher: _Watcher, now_s: float, encoded: dict[tuple[int, str, bool], bytes]) -> None:
        while watcher.next_revision <= self._space.revision:
            if watcher.stream.queued_bytes > SLOW_BYTES:
                self._some_are_behind = True
                return
            try:
                events = self._space.events_since(watcher.next_revision, _EVENTS_PER_READ)
            except Compacted as error:
                self._tell(watcher.stream, error_frame(watcher.request_id, error))
                self._watchers.remove(watcher)
                return
            reached = events[-1].kv.mod_revision if events else self._space.revision
            wanted = [event for event in events if event.kv.key.startswith(watcher.prefix)]
            if wanted:
                self._send(watcher, reached, wanted, encoded)
                watcher.told_at_s = now_s
            watcher.next_revision = reached + 1

    def every_second(self, now_s: float, *, has_leader: bool) -> None:
        """Tell silent watchers how far they have come, and drop all when the leader is gone for long."""
        if has_leader:
            self._leaderless_since_s = None
        elif self._leaderless_since_s is None:
            self._leaderless_since_s = now_s
        elif now_s - self._leaderless_since_s > NO_LEADER_S:
            for watcher in self._watchers:
                self._tell(watcher.stream, failure(watcher.request_id, "unavailable", "this member has no leader"))
            self._watchers.clear()
        for watcher in self._watchers:
            up_to_date = watcher.next_revision == self._space.revision + 1
            if up_to_date and now_s - watcher.told_at_s >= PROGRESS_S * 0.9:
                self._send(watcher, self._space.revision, [], {})
                watcher.told_at_s = now_s

    def take_touched(self) -> set[Stream]:
        """The connections for which something has been queued since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def _tell(self, stream: Stream, frame: bytes) -> None:
        stream.queue(frame)
        self._touched.add(stream)

    def _send(
        self, watcher: _Watcher, revision: int, events: list[WatchEvent], encoded: dict[tuple[int, str, bool], bytes]
    ) -> None:
        """One batch, in fragments where it is large; each event is encoded once for all watchers of the pump."""
        fragment: list[Raw] = []
        size_bytes = 0
        for event in events:
            key = (event.kv.mod_revision, event.kv.key, watcher.with_previous)
            data = encoded.get(key)
            if data is None:
                shown = event if watcher.with_previous else WatchEvent(event.type, event.kv)
                data = encoded[key] = _ENCODER.encode(shown)
            if fragment and size_bytes + len(data) > _FRAGMENT_BYTES:
                self._send_fragment(watcher, revision, fragment, more=True)
                fragment, size_bytes = [], 0
            fragment.append(Raw(data))
            size_bytes += len(data)
        self._send_fragment(watcher, revision, fragment, more=False)

    def _send_fragment(self, watcher: _Watcher, revision: int, fragment: list[Raw], *, more: bool) -> None:
        frame = Events(watcher.request_id, revision, Raw(_ENCODER.encode(fragment)), more)
        self._tell(watcher.stream, _ENCODER.encode(frame))
