"""Which master to ask next: a pure ring that sticks to what works and avoids what has just failed."""

from collections.abc import Sequence

SUSPECT_FIRST_S = 1.0
"""How long a server is avoided after its first failure; doubles with each further one."""
SUSPECT_MAX_S = 15.0
"""Never longer: a server that came back should be of use again soon, even if all others work."""


class ServerRing:
    """Several equal servers, by index. Sticky: the current one stays until it fails.

    A suspect server is not forbidden, only asked last: with one server alive out of three, or none, every
    candidate is still tried."""

    def __init__(self, urls: Sequence[str]) -> None:
        if not urls:
            raise ValueError("a client needs at least one server")
        self.urls = [url.rstrip("/") for url in urls]
        self.current = 0
        self._failures = [0] * len(urls)
        self._suspect_until_s = [0.0] * len(urls)

    def __len__(self) -> int:
        return len(self.urls)

    def candidates(self, now_s: float) -> list[int]:
        """Every server once, best first: the current one, the others in order, then the suspects."""
        count = len(self.urls)
        order = [(self.current + step) % count for step in range(count)]
        return sorted(order, key=lambda index: self.is_suspect(index, now_s))

    def is_suspect(self, index: int, now_s: float) -> bool:
        return now_s < self._suspect_until_s[index]

    def worked(self, index: int) -> None:
        """It answered: forget its past and stay with it."""
        self._failures[index] = 0
        self._suspect_until_s[index] = 0.0
        self.current = index

    def failed(self, index: int, now_s: float) -> None:
        """It refused, hung or broke off: everybody in this process looks elsewhere first."""
        if self.is_suspect(index, now_s):
            return  # one outage seen by several requests at once counts once
        self._failures[index] += 1
        pause_s: float = min(SUSPECT_MAX_S, SUSPECT_FIRST_S * 2.0 ** (self._failures[index] - 1))
        self._suspect_until_s[index] = now_s + pause_s
