"""Collects keys and gives them out in batches: soon at rest, seldom in a storm.

Reading and committing a large table costs the same for one change as for a thousand, so changes wait for each other:
until none has come for `quiet_s`, but never longer than `patience_s` after the first.
"""

import asyncio

QUIET_S = 0.05
PATIENCE_S = 1.0


class ChangeBatch:
    """Single consumer. Bounded by the number of distinct keys."""

    def __init__(self, quiet_s: float = QUIET_S, patience_s: float = PATIENCE_S) -> None:
        self._quiet_s, self._patience_s = quiet_s, patience_s
        self._keys: set[str] = set()
        self._first_at = self._last_at = 0.0
        self._woken = asyncio.Event()

    def add(self, key: str) -> None:
        now = asyncio.get_running_loop().time()
        if not self._keys:
            self._first_at = now
        self._last_at = now
        self._keys.add(key)
        self._woken.set()

    async def take(self, timeout_s: float) -> frozenset[str]:
        """The next batch; empty when nothing changed for `timeout_s`."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        except TimeoutError:
            return frozenset()
        while True:
            due = min(self._last_at + self._quiet_s, self._first_at + self._patience_s)
            if due <= loop.time():
                break
            await asyncio.sleep(due - loop.time())
        taken, self._keys = frozenset(self._keys), set()
        self._woken.clear()
        return taken
