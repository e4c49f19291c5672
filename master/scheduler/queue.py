"""Which pod is tried next; pure.

Three places, as in Kubernetes: *active* pods are ready, the one of highest priority and longest wait first; *back-off*
pods failed recently and become active by themselves when their pause is over; *unschedulable* pods wait for a change
in the cluster that may help them. A pod is in at most one of them.

Back-off counts from the last failure: a pod that has waited longer than its pause is active at once when a change
helps it. Should every change be missed, a pod is tried again after `GIVE_UP_WAITING_S`.
"""

import heapq
import itertools
from collections.abc import Iterator

import msgspec

from master.scheduler.framework import Change
from master.scheduler.podinfo import PodInfo

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 10.0
"""Kubernetes: 1 s to 10 s. Ours begins sooner, for a cluster that heals in seconds."""
GIVE_UP_WAITING_S = 300.0
"""Kubernetes flushes leftover unschedulable pods after five minutes too."""


class Pending(msgspec.Struct, eq=False):
    """One pod in the queue."""

    info: PodInfo
    added_s: float
    attempts: int = 0
    failed_s: float = 0.0
    helped_by: frozenset[Change] | None = None
    """None: not unschedulable. Else the changes worth another try."""

    @property
    def backoff_until_s(self) -> float:
        if self.attempts == 0:
            return self.failed_s
        return self.failed_s + float(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(self.attempts - 1, 16)))


class SchedulingQueue:
    """Keys are "namespace/name". Heaps keep stale entries, recognised by their ticket, until they come up."""

    def __init__(self) -> None:
        self._pending: dict[str, Pending] = {}
        self._active: list[tuple[int, float, int, str]] = []
        self._waiting: list[tuple[float, int, str]] = []
        self._tickets: dict[str, int] = {}
        self._counter = itertools.count(1)

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, key: str) -> bool:
        return key in self._pending

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._pending.values())

    def add(self, info: PodInfo, now_s: float) -> None:
        """A new pod, or one whose requirements have changed: try it now."""
        self._pending[info.key] = Pending(info, now_s)
        self._activate(info.key)

    def refresh(self, info: PodInfo) -> None:
        """The pod changed in a way that does not matter here (its status, say): keep its place."""
        if info.key in self._pending:
            self._pending[info.key].info = info

    def remove(self, key: str) -> None:
        self._pending.pop(key, None)
        self._tickets.pop(key, None)

    def pop(self, now_s: float) -> Pending | None:
        """The pod to try now. It leaves the queue; `failed`, `unschedulable` or nothing brings it back."""
        self._wake_due(now_s)
        while self._active:
            _, _, ticket, key = heapq.heappop(self._active)
            if self._tickets.get(key) == ticket:
                del self._tickets[key]
                return self._pending.pop(key)
        return None

    def next_due_s(self) -> float | None:
        """When a waiting pod becomes active by itself."""
        while self._waiting and self._tickets.get(self._waiting[0][2]) != self._waiting[0][1]:
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def unschedulable(self, pending: Pending, helped_by: frozenset[Change], now_s: float) -> None:
        """No node takes it at present."""
        self._put_back(pending, now_s, helped_by)
        self._wait_until(pending.info.key, now_s + GIVE_UP_WAITING_S)

    def failed(self, pending: Pending, now_s: float) -> None:
        """Trying failed for a reason that time may heal (the API did not answer)."""
        self._put_back(pending, now_s, None)
        self._wait_until(pending.info.key, pending.backoff_until_s)

    def wake(self, change: Change, now_s: float) -> int:
        """A change in the cluster: pods that it may help become active, or are in back-off. Returns how many."""
        helped = [key for key, each in self._pending.items() if each.helped_by is not None and change in each.helped_by]
        for key in helped:
            pending = self._pending[key]
            pending.helped_by = None
            if pending.backoff_until_s <= now_s:
                self._activate(key)
            else:
                self._wait_until(key, pending.backoff_until_s)
        return len(helped)

    def _put_back(self, pending: Pending, now_s: float, helped_by: frozenset[Change] | None) -> None:
        pending.attempts += 1
        pending.failed_s = now_s
        pending.helped_by = helped_by
        self._pending[pending.info.key] = pending

    def _activate(self, key: str) -> None:
        pending = self._pending[key]
        heapq.heappush(self._active, (-pending.info.priority, pending.added_s, self._ticket(key), key))

    def _wait_until(self, key: str, due_s: float) -> None:
        heapq.heappush(self._waiting, (due_s, self._ticket(key), key))

    def _ticket(self, key: str) -> int:
        ticket = self._tickets[key] = next(self._counter)
        return ticket

    def _wake_due(self, now_s: float) -> None:
        while (due_s := self.next_due_s()) is not None and due_s <= now_s:
            _, _, key = heapq.heappop(self._waiting)
            self._pending[key].helped_by = None
            self._activate(key)
