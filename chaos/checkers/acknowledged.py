"""No acknowledged write is lost, and no refused write is visible (invariant S1).

Pure: a history of writes and deletes with unique values, and what the store holds at the end. A final value is
explained by a write that may be the last one: acknowledged or unknown, and not followed by an acknowledged operation
that began after it had returned. An unknown operation may take effect at any time after its call, so it is never ruled
out.
"""

from collections.abc import Iterable, Mapping

import msgspec

from chaos.history import Operation

WRITE, DELETE = "write", "delete"


class Violation(msgspec.Struct, frozen=True):
    """One broken promise, with the operation that proves it."""

    key: str
    problem: str
    operation: Operation | None = None


class DuplicateValue(ValueError):
    """Two writes of one value to one key cannot be told apart: the test must write unique values."""


def check_acknowledged(
    operations: Iterable[Operation], final: Mapping[str, str], initial: Mapping[str, str] | None = None
) -> list[Violation]:
    """Violations, empty when all is well. `final` is read after the last operation, in one consistent list; keys that
    no operation touched are ignored. `initial` holds what was there before the history began."""
    by_key: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.kind in (WRITE, DELETE):
            by_key.setdefault(operation.key, []).append(operation)
    before = initial or {}
    found = (_judge(key, own, final.get(key), before.get(key)) for key, own in sorted(by_key.items()))
    return [violation for violation in found if violation]


def _judge(key: str, operations: list[Operation], value: str | None, initial: str | None) -> Violation | None:
    values = [o.value for o in operations if o.kind == WRITE]
    if len(values) != len(set(values)):
        raise DuplicateValue(f"{key}: some value was written twice")
    acknowledged = [o for o in operations if o.outcome == "ok"]
    # Whatever had returned before the last acknowledged operation began is certainly overwritten.
    last_call_s = max((o.call_s for o in acknowledged), default=float("-inf"))
    possible = [o for o in operations if o.outcome != "failed" and (o.return_s is None or o.return_s >= last_call_s)]
    explained = {o.value if o.kind == WRITE else None for o in possible}
    if not acknowledged:
        explained.add(initial)  # nothing certainly happened
    if value in explained:
        return None
    last = max(acknowledged, key=lambda o: o.call_s) if acknowledged else None
    return Violation(key, _problem(value, operations), last)


def _problem(value: str | None, operations: list[Operation]) -> str:
    if value is None:
        return "an acknowledged write is lost: the key does not exist"
    writers = [o for o in operations if o.kind == WRITE and o.value == value]
    if not writers:
        return f"value {value!r} was never written"
    if writers[0].outcome == "failed":
        return f"value {value!r} is visible although its write was refused"
    return f"value {value!r} is there, but an acknowledged operation came later: that one is lost"
