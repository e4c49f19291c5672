"""JSON patch: RFC 6902's own examples, upstream's answers, and properties."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.status import BadRequest, Invalid, TooLarge
from master.apiserver.patch import json_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)

EXAMPLES: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
    ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
    ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
    ({"a~b/c": 1}, [{"op": "test", "path": "/a~0b~1c", "value": 1}], {"a~b/c": 1}),
    ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": [2]}], {"a": [1, [2]]}),
    ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
]


@pytest.mark.parametrize(("tree", "patch", "result"), EXAMPLES)
def test_the_examples_of_the_rfc(tree: Any, patch: list[dict[str, Any]], result: Any) -> None:
    before = copy.deepcopy(tree)
    assert json_patch.apply(tree, patch) == result
    assert tree == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/a/5", "value": 1},
        {"op": "add", "path": "/none/deep", "value": 1},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "move", "from": "/a", "path": "/a/0"},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "shrug", "path": "/a"},
        {"op": "remove", "path": "/a/01"},
    ],
)
def test_an_operation_that_fails_is_invalid_in_upstream_words(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        json_patch.apply({"a": [1]}, [operation])
    status = caught.value.status
    assert status.message == "the server rejected our request due to an error in our request"
    assert (status.code, status.reason) == (422, "Invalid")


def test_what_is_no_patch_is_a_bad_request() -> None:
    with pytest.raises(BadRequest) as caught:
        json_patch.apply({}, {"a": 1})
    assert caught.value.message == (
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
    )
    with pytest.raises(TooLarge):
        json_patch.apply({}, [{"op": "test", "path": "", "value": {}}] * 10_001)


@given(JSON, JSON)
def test_replacing_everything_gives_the_new_value(tree: Any, value: Any) -> None:
    assert json_patch.apply(tree, [{"op": "replace", "path": "", "value": value}]) == value


@given(st.dictionaries(st.text("ab/~", max_size=2), JSON, min_size=1), JSON)
def test_adding_and_removing_a_member_changes_nothing_else(tree: dict[str, Any], value: Any) -> None:
    patch = [{"op": "add", "path": "/new", "value": value}, {"op": "test", "path": "/new", "value": value}]
    assert json_patch.apply(tree, [*patch, {"op": "remove", "path": "/new"}]) == tree


@given(st.dictionaries(st.text("ab/~", max_size=2), JSON, min_size=1), st.data())
def test_a_moved_member_keeps_its_value(tree: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(tree)))
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    moved = json_patch.apply(tree, [{"op": "move", "from": pointer, "path": "/moved"}])
    assert moved["moved"] == tree[key]
    assert json_patch.apply(moved, [{"op": "move", "from": "/moved", "path": pointer}]) == tree
