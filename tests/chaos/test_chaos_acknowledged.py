"""The check of acknowledged writes: accepts every honest store, and catches those that lose or invent."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.checkers.acknowledged import DuplicateValue, check_acknowledged
from chaos.history import History, Operation


def op(number: int, value: str, call: float, end: float | None, outcome: str = "ok", kind: str = "write") -> Operation:
    return Operation(number, kind, "k", value, call, end, outcome)  # type: ignore[arg-type]


def test_the_last_acknowledged_write_must_be_there() -> None:
    operations = [op(0, "a", 0, 1), op(1, "b", 2, 3)]
    assert check_acknowledged(operations, {"k": "b"}) == []
    assert "acknowledged operation came later" in check_acknowledged(operations, {"k": "a"})[0].problem
    assert "does not exist" in check_acknowledged(operations, {})[0].problem
    assert "never written" in check_acknowledged(operations, {"k": "z"})[0].problem


def test_of_overlapping_writes_either_may_be_last() -> None:
    operations = [op(0, "a", 0, 5), op(1, "b", 2, 3)]
    assert check_acknowledged(operations, {"k": "a"}) == check_acknowledged(operations, {"k": "b"}) == []


def test_an_unknown_write_may_have_happened_at_any_later_time() -> None:
    operations = [op(0, "a", 0, None, "unknown"), op(1, "b", 2, 3)]
    assert check_acknowledged(operations, {"k": "a"}) == check_acknowledged(operations, {"k": "b"}) == []
    assert check_acknowledged(operations, {})


def test_a_refused_write_must_not_be_visible() -> None:
    operations = [op(0, "a", 0, 1), op(1, "b", 2, 3, "failed")]
    assert "refused" in check_acknowledged(operations, {"k": "b"})[0].problem
    assert check_acknowledged(operations, {"k": "a"}) == []


def test_deletes_count_as_writes_of_nothing() -> None:
    operations = [op(0, "a", 0, 1), op(1, "", 2, 3, kind="delete")]
    assert check_acknowledged(operations, {}) == []
    assert check_acknowledged(operations, {"k": "a"})


def test_without_an_acknowledged_write_the_key_may_be_as_before() -> None:
    operations = [op(0, "a", 0, None, "unknown"), op(1, "b", 0, 1, "failed")]
    assert check_acknowledged(operations, {}) == []
    assert check_acknowledged(operations, {"k": "old"}, {"k": "old"}) == []
    assert check_acknowledged(operations, {"k": "old"})


def test_values_must_be_unique() -> None:
    with pytest.raises(DuplicateValue):
        check_acknowledged([op(0, "a", 0, 1), op(1, "a", 2, 3)], {"k": "a"})


class Store:
    """A simulated register with concurrent clients: each write takes effect at one moment between call and return."""

    def __init__(self, seed: int) -> None:
        self.random, self.now, self.state = random.Random(seed), 0.0, dict[str, str]()
        self.history = History(lambda: self.now)

    def play(self, steps: int) -> None:
        open_writes: list[tuple[Operation, bool]] = []  # operation, has taken effect
        for number in range(steps):
            self.now += 1
            choice = self.random.random()
            if choice < 0.5 or not open_writes:
                key = self.random.choice("ab")
                open_writes.append((self.history.call("write", key, f"v{number}"), False))
                continue
            operation, done = open_writes.pop(self.random.randrange(len(open_writes)))
            if choice < 0.6:
                self.history.failed(operation, "refused") if not done else self.history.ok(operation)
            elif choice < 0.7:
                if self.random.random() < 0.5:
                    self.state[operation.key] = operation.value
                self.history.unknown(operation, "no answer")
            else:
                if not done:
                    self.state[operation.key] = operation.value
                self.history.ok(operation)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_an_honest_store_is_never_accused(seed: int, steps: int) -> None:
    store = Store(seed)
    store.play(steps)
    assert check_acknowledged(store.history, store.state) == []


@given(st.integers(0, 10_000))
def test_a_store_that_forgets_its_last_acknowledged_write_is_caught(seed: int) -> None:
    store = Store(seed)
    store.play(20)
    store.now += 1
    last = store.history.call("write", "a", "last")
    store.now += 1
    store.history.ok(last)
    earlier = [o for o in store.history if o.key == "a" and o.outcome == "ok" and o.value != "last"]
    unknown = any(o.return_s is None for o in store.history if o.key == "a")
    if not unknown:
        for value in [o.value for o in earlier] + [None]:
            final = {**store.state, "a": value} if value else {k: v for k, v in store.state.items() if k != "a"}
            assert [v.key for v in check_acknowledged(store.history, final)] == ["a"]
