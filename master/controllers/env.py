"""Time and chance of the controllers, so that tests and simulation can own them."""

import random
import time
from collections.abc import Callable

import msgspec

from master.api.timestamps import now_rfc3339

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, no 0, 1, 3: random names must not spell words (apimachinery's `rand`)."""
SUFFIX_LENGTH = 5


class Env(msgspec.Struct):
    """`clock` is monotonic and judges delays; `wall_clock` only fills timestamps in."""

    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    rng: random.Random = msgspec.field(default_factory=random.Random)

    def now(self) -> str:
        """The timestamp for a field of an object."""
        return now_rfc3339(self.wall_clock())

    def suffix(self) -> str:
        """The random tail of a generated name."""
        return "".join(self.rng.choices(NAME_ALPHABET, k=SUFFIX_LENGTH))
