"""Growing pauses between attempts: exponential, capped, with jitter so that many clients do not knock in step."""

import random


class Backoff:
    """`next_s()` gives the pause before the next attempt; `reset()` after a success."""

    def __init__(self, first_s: float, max_s: float, *, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._failures = 0
        self._rng = rng or random.Random()

    def next_s(self) -> float:
        # The exponent is bounded as well: 2.0 ** 2000 would overflow after a long outage.
        pause_s: float = min(self._max_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return pause_s * (0.5 + self._rng.random() / 2)

    def reset(self) -> None:
        self._failures = 0
