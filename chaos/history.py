"""What clients did and what they were told: the material that checkers judge.

An operation whose answer never came may have happened, now or later; it is *unknown*, never folded into failure.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

MAX_OPERATIONS = 1_000_000  # half an hour at 500 a second; a longer run must write out and begin anew

Outcome = Literal["ok", "failed", "unknown"]


class Operation(msgspec.Struct):
    """One call. `failed` means: certainly without effect. `return_s` is None when no answer came (yet, or ever)."""

    id: int
    kind: str  # "write", "delete", "read", "request"
    key: str
    value: str
    call_s: float
    return_s: float | None = None
    outcome: Outcome = "unknown"
    detail: str = ""

    @property
    def latency_s(self) -> float | None:
        return None if self.return_s is None else self.return_s - self.call_s


class HistoryFull(Exception):
    """More operations than the bound."""


class History:
    """Append-only; safe to use from threads and tasks. The clock is monotonic and comes in from outside."""

    def __init__(self, clock: Callable[[], float], limit: int = MAX_OPERATIONS) -> None:
        self._clock, self._limit = clock, limit
        self._operations: list[Operation] = []
        self._lock = threading.Lock()

    def call(self, kind: str, key: str = "", value: str = "") -> Operation:
        """An operation begins."""
        with self._lock:
            if len(self._operations) >= self._limit:
                raise HistoryFull(f"history holds {self._limit} operations")
            operation = Operation(len(self._operations), kind, key, value, self._clock())
            self._operations.append(operation)
        return operation

    def ok(self, operation: Operation, value: str | None = None) -> None:
        """It was acknowledged; a read tells what it saw."""
        if value is not None:
            operation.value = value
        self._finish(operation, "ok", "")

    def failed(self, operation: Operation, detail: str) -> None:
        """It was refused: certainly without effect."""
        self._finish(operation, "failed", detail)

    def unknown(self, operation: Operation, detail: str) -> None:
        """Nobody can tell. The return time stays open."""
        operation.outcome, operation.detail = "unknown", detail

    def _finish(self, operation: Operation, outcome: Outcome, detail: str) -> None:
        assert operation.return_s is None, f"operation {operation.id} returned twice"
        operation.return_s, operation.outcome, operation.detail = self._clock(), outcome, detail

    def __len__(self) -> int:
        return len(self._operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations[:])

    def since(self, start_s: float, end_s: float = float("inf")) -> list[Operation]:
        """Operations that began in a span of time."""
        return [o for o in self if start_s <= o.call_s < end_s]

    def save(self, path: Path) -> None:
        """One JSON object a line."""
        encoder = msgspec.json.Encoder()
        path.write_bytes(b"".join(encoder.encode(operation) + b"\n" for operation in self))


def load_operations(path: Path) -> list[Operation]:
    return [msgspec.json.decode(line, type=Operation) for line in path.read_bytes().splitlines()]
