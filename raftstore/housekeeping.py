"""The leader's duties to the state machine, which has no clock of its own: time, leases, sessions, compaction.

The cluster's clock is a count of milliseconds that goes on only while there is a leader: each leader continues
from the last value in the log by its own monotonic clock. It never jumps, whatever the wall clocks do.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from raftstore.lease import LeaseDeadlines
from raftstore.protocol import Command, Compact, ExpireSessions, LeaseRevoke
from raftstore.state import StateMachine

# etcd's auto-compaction under Kubernetes is the precedent: five minutes of history.
HISTORY_AGE_S: Final = 300.0
_SAMPLE_EVERY_S: Final = 10.0
HISTORY_MAX_EVENTS: Final = 200_000
HISTORY_MAX_BYTES: Final = 256 << 20
_KEEP_SHARE: Final = 2
SESSION_IDLE_MS: Final = 3600 * 1000
_EXPIRED_PER_ROUND: Final = 100
_MAX_SAMPLES: Final = 1000


class Housekeeping:
    """Runs on every member, acts on the leader."""

    def __init__(self, machine: StateMachine, propose: Callable[[Command], None]) -> None:
        self._machine = machine
        self._propose = propose
        self._deadlines = LeaseDeadlines()
        self._samples: deque[tuple[float, int]] = deque(maxlen=_MAX_SAMPLES)
        self._anchor: tuple[float, int] | None = None
        self._expiry_proposed_ms = 0

    def time_ms(self, now_s: float) -> int:
        """The cluster's clock, to be stamped on an entry."""
        if self._anchor is None:
            self._anchor = (now_s, self._machine.time_ms)
        since_s, then_ms = self._anchor
        return then_ms + int((now_s - since_s) * 1000)

    def renew_lease(self, lease: int, now_s: float) -> int:
        """Start a lease's time anew; its time to live, or 0 when there is no such lease or it is about to end."""
        if self._deadlines.is_ending(lease):
            return 0
        ttl_ms = self._machine.leases.ttls_ms().get(lease, 0)
        if ttl_ms:
            self._deadlines.renew(lease, ttl_ms, now_s)
        return ttl_ms

    def run(self, now_s: float, *, is_leader: bool) -> None:
        """A few times a second: propose whatever is due."""
        if not is_leader:
            self._deadlines.clear()
            self._samples.clear()
            self._anchor = None
            return
        for command in self._due(now_s):
            self._propose(command)

    def _due(self, now_s: float) -> Iterable[Command]:
        if len(self._machine.leases):
            self._deadlines.follow(self._machine.leases.ttls_ms(), now_s)
            for lease in self._deadlines.pop_expired(now_s, _EXPIRED_PER_ROUND):
                # Should the proposal be lost, the lease is followed anew and expires again.
                yield LeaseRevoke(lease)
        compact_revision = self._compact_revision(now_s)
        if compact_revision > self._machine.space.compact_revision:
            yield Compact(compact_revision)
        yield from self._idle_sessions(now_s)

    def _compact_revision(self, now_s: float) -> int:
        space = self._machine.space
        if not self._samples or now_s - self._samples[-1][0] >= _SAMPLE_EVERY_S:
            self._samples.append((now_s, space.revision))
        wanted = 0
        while self._samples and now_s - self._samples[0][0] >= HISTORY_AGE_S:
            wanted = self._samples.popleft()[1]
        if space.event_count() > HISTORY_MAX_EVENTS or space.history_bytes > HISTORY_MAX_BYTES:
            wanted = max(wanted, space.revision_before_newest(space.event_count() // _KEEP_SHARE))
        return wanted

    def _idle_sessions(self, now_s: float) -> Iterable[Command]:
        now_ms = self.time_ms(now_s)
        if now_ms - self._expiry_proposed_ms < SESSION_IDLE_MS // 10:
            return
        self._expiry_proposed_ms = now_ms
        oldest_ms = self._machine.sessions.oldest_use_ms()
        if oldest_ms is not None and oldest_ms < now_ms - SESSION_IDLE_MS:
            yield ExpireSessions(now_ms - SESSION_IDLE_MS)
