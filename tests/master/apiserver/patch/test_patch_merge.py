"""JSON merge patch: RFC 7396's table and properties."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.status import BadRequest
from master.apiserver.patch import merge

SCALARS = st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=1), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("abc", max_size=1), VALUES, max_size=3)

TABLE: list[tuple[Any, dict[str, Any], Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("tree", "patch", "result"), TABLE)
def test_the_table_of_the_rfc(tree: Any, patch: dict[str, Any], result: Any) -> None:
    before = copy.deepcopy(tree)
    assert merge.apply(tree, patch) == result
    assert tree == before


def test_a_patch_must_be_an_object() -> None:
    with pytest.raises(BadRequest):
        merge.apply({}, [1])


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The patch that turns old into new."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            patch[key] = difference(before, value)
        else:
            patch[key] = value
    return patch


@given(OBJECTS, OBJECTS)
def test_the_difference_of_two_objects_turns_one_into_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merge.apply(old, difference(old, new)) == new


@given(OBJECTS, OBJECTS)
def test_a_patch_applied_twice_does_no_more_than_once(tree: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge.apply(tree, patch)
    assert merge.apply(once, patch) == once
