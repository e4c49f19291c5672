"""Leases: which exist and which keys hang on them (replicated), and when they end (only in the leader's head).

The state machine reads no clock. The leader keeps a deadline for each lease, counts every lease's time afresh
when it comes to power, and proposes the revocation of what has run out; replicas only carry it out. So a lease
may live longer than its time over a change of leader, never shorter.
"""

import heapq

from raftstore.protocol import KeyValue

MIN_TTL_MS = 100
MAX_TTL_MS = 30 * 24 * 3600 * 1000


class LeaseTable:
    """The replicated part: lease → time to live and keys."""

    def __init__(self) -> None:
        self.next_id = 1
        self._ttl_ms: dict[int, int] = {}
        self._keys: dict[int, set[str]] = {}

    def __contains__(self, lease: int) -> bool:
        return lease in self._ttl_ms

    def __len__(self) -> int:
        return len(self._ttl_ms)

    def grant(self, ttl_ms: int) -> int:
        """A new lease; numbers are never used again."""
        lease = self.next_id
        self.next_id += 1
        self._ttl_ms[lease] = ttl_ms
        self._keys[lease] = set()
        return lease

    def revoke(self, lease: int) -> list[str]:
        """End a lease; its keys, in order, for the caller to delete."""
        del self._ttl_ms[lease]
        return sorted(self._keys.pop(lease))

    def moved(self, previous: KeyValue | None, current: KeyValue | None) -> None:
        """A key changed from one version to another: hang it on the right lease."""
        if previous is not None and previous.lease in self._keys:
            self._keys[previous.lease].discard(previous.key)
        if current is not None and current.lease:
            self._keys[current.lease].add(current.key)

    def ttls_ms(self) -> dict[int, int]:
        """Time to live by lease."""
        return dict(self._ttl_ms)

    def restore(self, next_id: int, ttls_ms: dict[int, int]) -> None:
        """Become a former table; the keys come back by `moved`."""
        self.next_id = next_id
        self._ttl_ms = dict(ttls_ms)
        self._keys = {lease: set() for lease in ttls_ms}


class LeaseDeadlines:
    """The leader's part: when each lease ends, by the leader's own monotonic clock."""

    def __init__(self) -> None:
        self._deadline_s: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._ending: set[int] = set()

    def clear(self) -> None:
        """Forget everything: this member leads no longer."""
        self._deadline_s.clear()
        self._heap.clear()
        self._ending.clear()

    def follow(self, ttls_ms: dict[int, int], now_s: float) -> None:
        """Start the clock of leases that have none yet and drop those that are gone."""
        for lease in [known for known in self._deadline_s if known not in ttls_ms]:
            del self._deadline_s[lease]
        self._ending &= ttls_ms.keys()
        for lease, ttl_ms in ttls_ms.items():
            if lease not in self._deadline_s:
                self.renew(lease, ttl_ms, now_s)

    def is_ending(self, lease: int) -> bool:
        """Whether its revocation may be under way: too late to promise anybody that it lives on."""
        return lease in self._ending

    def renew(self, lease: int, ttl_ms: int, now_s: float) -> None:
        """Start a lease's time anew."""
        deadline_s = now_s + ttl_ms / 1000
        self._deadline_s[lease] = deadline_s
        heapq.heappush(self._heap, (deadline_s, lease))

    def pop_expired(self, now_s: float, limit: int) -> list[int]:
        """Leases whose time has run out, each reported again only when it is followed anew."""
        expired: list[int] = []
        while self._heap and self._heap[0][0] <= now_s and len(expired) < limit:
            deadline_s, lease = heapq.heappop(self._heap)
            if self._deadline_s.get(lease) == deadline_s:
                del self._deadline_s[lease]
                self._ending.add(lease)
                expired.append(lease)
        return expired
