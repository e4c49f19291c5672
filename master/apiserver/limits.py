"""How much may be under way at once. Beyond that a request is refused at once with 429, which clients wait out."""

from collections.abc import Iterator
from contextlib import contextmanager

from master.apiserver import errors, metrics

READS_MAX = 400
WRITES_MAX = 200
"""kube-apiserver's `--max-requests-inflight` and `--max-mutating-requests-inflight`."""
STREAMS_MAX = 10_000
"""Watches, logs and execs; bounded by file descriptors rather than by work."""
REQUEST_TIMEOUT_S = 60.0
"""kube-apiserver's `--request-timeout`; watches and streams have their own end."""


class InFlight:
    """Counts of what is under way, by kind."""

    def __init__(self) -> None:
        self._limits = {"readOnly": READS_MAX, "mutating": WRITES_MAX, "stream": STREAMS_MAX}
        self._counts = dict.fromkeys(self._limits, 0)

    @contextmanager
    def place(self, kind: str) -> Iterator[None]:
        """A place among the requests of this kind; 429 when there is none."""
        if self._counts[kind] >= self._limits[kind]:
            raise errors.too_many_requests()
        self._counts[kind] += 1
        metrics.inflight.labels(kind).set(self._counts[kind])
        try:
            yield
        finally:
            self._counts[kind] -= 1
            metrics.inflight.labels(kind).set(self._counts[kind])
