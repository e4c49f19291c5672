"""JSON patch (RFC 6902): a list of operations, all of them or none."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from master.api.meta import StatusDetails
from master.api.status import BadRequest, Invalid, TooLarge
from master.api.wire.json_text import DEPTH_MAX

OPERATIONS_MAX = 10_000  # as upstream
COPIED_MAX_BYTES = 3 * 1024 * 1024
"""What all `copy` operations of a patch may add; copies of copies would double without end. As upstream."""
REJECTED = "the server rejected our request due to an error in our request"
_INDEX = re.compile("0|[1-9][0-9]*")
_ABSENT = object()


class _Failed(Exception):
    """An operation that cannot be done."""


def apply(tree: Any, patch: Any) -> Any:
    """The patched tree. BadRequest for what is no patch, Invalid when an operation fails."""
    operations = _checked(patch)
    copied_bytes = 0
    try:
        result = _copy(tree)
        for operation in operations:
            if operation.get("op") == "copy":
                copied_bytes += len(msgspec.json.encode(_find(result, _pointer(operation.get("from", "")))))
                if copied_bytes > COPIED_MAX_BYTES:
                    raise _Failed("copies without end")
            result = _apply_one(result, operation)
        _check_depth(result)
    except (_Failed, RecursionError):
        raise Invalid(REJECTED, details=StatusDetails()) from None
    return result


def _check_depth(tree: Any) -> None:
    """Operations can nest deeper than any body may; without recursion, for such trees end it."""
    level = [tree]
    for _ in range(DEPTH_MAX + 1):
        level = [item for node in level for item in _members(node)]
        if not level:
            return
    raise _Failed("nested too deep")


def _members(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _copy(tree: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(tree))


def _checked(patch: Any) -> Sequence[dict[str, Any]]:
    prefix = "error decoding patch: json: cannot unmarshal"
    if not isinstance(patch, list):
        raise BadRequest(f"{prefix} {_word(patch)} into Go value of type []handlers.jsonPatchOp")
    if len(patch) > OPERATIONS_MAX:
        raise TooLarge(f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}")
    for operation in patch:
        if not isinstance(operation, dict):
            raise BadRequest(f"{prefix} {_word(operation)} into Go value of type handlers.jsonPatchOp")
        for name in ("op", "path", "from"):
            if not isinstance(operation.get(name, ""), str):
                where = f"Go struct field jsonPatchOp.{name} of type string"
                raise BadRequest(f"{prefix} {_word(operation[name])} into {where}")
    return patch


def _word(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(value), "number")


def _apply_one(tree: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation.get("path", ""))
    match operation.get("op"):
        case "add":
            return _add(tree, path, _value(operation))
        case "remove":
            return _remove(tree, path)[0]
        case "replace":
            _find(tree, path)
            return _replace(tree, path, _value(operation))
        case "move":
            source = _pointer(operation.get("from", ""))
            if path[: len(source)] == source and path != source:
                raise _Failed("a value cannot move into itself")
            rest, value = _remove(tree, source)
            return _add(rest, path, value)
        case "copy":
            return _add(tree, path, _copy(_find(tree, _pointer(operation.get("from", "")))))
        case "test":
            if not _same(_find(tree, path, missing=None), operation.get("value")):
                raise _Failed("test failed")
            return tree
    raise _Failed("unknown operation")


def _value(operation: dict[str, Any]) -> Any:
    """A copy, so that two operations never share a subtree. Upstream's decoder takes a missing value as null."""
    return _copy(operation.get("value"))


def _same(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1, but 1.0 is."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _pointer(text: str) -> list[str]:
    """RFC 6901."""
    if text == "":
        return []
    if not text.startswith("/"):
        raise _Failed("a pointer starts with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _index(part: str, size: int) -> int:
    """An index of an array with `size` allowed positions."""
    if not _INDEX.fullmatch(part) or int(part) >= size:
        raise _Failed("no such index")
    return int(part)


def _find(tree: Any, path: Sequence[str], missing: Any = _ABSENT) -> Any:
    """The value at a path; a missing last member is `missing` if that is given."""
    for depth, part in enumerate(path):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list):
            tree = tree[_index(part, len(tree))]
        elif isinstance(tree, dict) and depth == len(path) - 1 and missing is not _ABSENT:
            return missing
        else:
            raise _Failed("no such path")
    return tree


def _add(tree: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(tree, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        position = len(parent) if path[-1] == "-" else _index(path[-1], len(parent) + 1)
        parent.insert(position, value)
    else:
        raise _Failed("neither object nor array")
    return tree


def _replace(tree: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(tree, path[:-1])
    parent[path[-1] if isinstance(parent, dict) else _index(path[-1], len(parent))] = value
    return tree


def _remove(tree: Any, path: Sequence[str]) -> tuple[Any, Any]:
    """(the rest, what was removed)"""
    value = _find(tree, path)
    if not path:
        return None, value
    parent = _find(tree, path[:-1])
    del parent[path[-1] if isinstance(parent, dict) else _index(path[-1], len(parent))]
    return tree, value
