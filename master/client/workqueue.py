"""The queue between "something changed" and "reconcile this key": one key is in one pair of hands at a time.

Three sets explain it (as in client-go): `_order` is what will be handed out next, `_dirty` is what needs work,
`_processing` is what somebody works on. A key added while it is processed only becomes dirty, and is queued again
by `done`. Delays and retry back-off stand in front: a key that waits is not yet dirty.

`QueueCore` is pure (time comes in as an argument); `WorkQueue` adds the clock and the waiting.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

RETRY_FIRST_S = 0.01
"""Pause after a key's first failure. client-go starts with 5 ms; our round trips are longer."""
RETRY_MAX_S = 30.0
"""client-go waits up to 1000 s; a cluster that promises seconds must not."""


class QueueClosed(Exception):
    """The queue was shut down and holds no work: the worker should end."""


class QueueCore(Generic[K]):
    """The queue's rules, without clock and without waiting."""

    def __init__(self) -> None:
        self._order: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._due_s: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._heap_counter = 0  # breaks ties, so that keys need no order
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        """Keys ready to be handed out (neither delayed ones nor those in hands)."""
        return len(self._order)

    def add(self, key: K) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        self._due_s.pop(key, None)
        if key not in self._processing:
            self._order.append(key)

    def add_at(self, key: K, due_s: float) -> None:
        """Ready at `due_s`; of several wishes for one key the earliest wins."""
        if key in self._dirty or self._due_s.get(key, float("inf")) <= due_s:
            return
        self._due_s[key] = due_s
        self._heap_counter += 1
        heapq.heappush(self._heap, (due_s, self._heap_counter, key))

    def retry_delay_s(self, key: K) -> float:
        """Count one more failure of the key and say how long to wait for the next try."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return float(min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(failures, 32)))

    def retries(self, key: K) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    def promote(self, now_s: float) -> None:
        """Make ready whatever has waited long enough."""
        while self._heap and self._heap[0][0] <= now_s:
            due_s, _, key = heapq.heappop(self._heap)
            if self._due_s.get(key) == due_s:  # else it was added or hastened meanwhile
                self.add(key)

    def next_due_s(self) -> float | None:
        while self._heap and self._due_s.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self) -> K | None:
        if not self._order:
            return None
        key = self._order.popleft()
        self._dirty.discard(key)
        assert key not in self._processing, "a key must never be in two pairs of hands"
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._order.append(key)


class WorkQueue(Generic[K]):
    """`key = await get()`, work, `done(key)`; after a failure `add_rate_limited(key)`, after a success `forget(key)`.

    The number of keys is bounded by the number of objects: a key is held once however often it is added."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._core: QueueCore[K] = QueueCore()
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._core)

    def add(self, key: K) -> None:
        if not self._closed:
            self._core.add(key)
            self._wakeup.set()

    def add_after(self, key: K, delay_s: float) -> None:
        if delay_s <= 0:
            self.add(key)
        elif not self._closed:
            self._core.add_at(key, self._clock() + delay_s)
            self._wakeup.set()

    def add_rate_limited(self, key: K) -> None:
        self.add_after(key, self._core.retry_delay_s(key))

    def retries(self, key: K) -> int:
        return self._core.retries(key)

    def forget(self, key: K) -> None:
        self._core.forget(key)

    def done(self, key: K) -> None:
        self._core.done(key)
        self._wakeup.set()

    def shut_down(self) -> None:
        """No more additions; what is ready is still handed out, then `get` raises `QueueClosed`."""
        self._closed = True
        self._wakeup.set()

    async def get(self) -> K:
        while True:
            self._core.promote(self._clock())
            key = self._core.take()
            if key is not None:
                if len(self._core):
                    self._wakeup.set()  # one `set` may stand for several keys: pass it on to the next worker
                return key
            if self._closed:
                self._wakeup.set()
                raise QueueClosed(self.name)
            await self._sleep()

    async def _sleep(self) -> None:
        """Until something was added or the next delayed key is due."""
        self._wakeup.clear()
        due_s = self._core.next_due_s()
        timeout_s = None if due_s is None else max(0.0, due_s - self._clock())
        try:
            async with asyncio.timeout(timeout_s):
                await self._wakeup.wait()
        except TimeoutError:
            return
