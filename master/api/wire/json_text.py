"""JSON text as a tree, with duplicate keys noticed and errors in the words of Go's decoder, which clients print."""

import json
import re
from typing import Any, NoReturn

import msgspec

DEPTH_MAX = 100
"""Nesting of a body: API types end below 40 levels; the rest is an attack on the stack (etcd and Go allow 10000)."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

Path = tuple[Any, str | int] | None
"""A place in a tree as a linked list from the leaf up: ((None, "spec"), "containers") and so on."""

_GO_WORDS = (
    ("Expecting value", "looking for beginning of value"),
    ("Expecting property name", "looking for beginning of object key string"),
    ("Illegal trailing comma", "looking for beginning of object key string"),
    ("Expecting ':'", "after object key"),
    ("Expecting ','", "after object key:value pair"),
    ("Extra data", "after top-level value"),
    ("Invalid control character", "in string literal"),
    ("Invalid \\", "in string escape code"),
)
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class SyntaxFault(ValueError):
    """Text that is no JSON or YAML; the message is Go's."""


def path_text(path: Path, *, indexes: bool = True) -> str:
    """`spec.containers[0].name`, or `spec.containers.name` without indexes."""
    parts: list[str | int] = []
    while path is not None:
        path, part = path[0], path[1]
        parts.append(part)
    text = ""
    for part in reversed(parts):
        if isinstance(part, int):
            text += f"[{part}]" if indexes else ""
        else:
            text += f".{part}" if text else part
    return text


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """(tree, paths of duplicate keys); the last of several values wins, as in Go. SyntaxFault when it is no JSON."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _explain(body, error)
    except RecursionError:
        raise SyntaxFault("exceeded max depth") from None
    _check_depth(body)
    if _is_canonical(body, tree):
        return tree, []
    return tree, _duplicates(body)


def _is_canonical(body: bytes, tree: Any) -> bool:
    """Whether the text is exactly what its tree encodes to: then no key was there twice. Go clients send such text."""
    try:
        return msgspec.json.encode(tree) == body.rstrip()
    except (OverflowError, ValueError, RecursionError):
        return False


def _duplicates(body: bytes) -> list[str]:
    """Paths of keys that occur twice. Pairs are kept while parsing and walked only if some object has a double."""
    doubled = False

    def keep(pairs: list[tuple[str, Any]]) -> "_Pairs":
        nonlocal doubled
        kept = _Pairs(pairs)
        doubled = doubled or len(dict.fromkeys(key for key, _ in pairs)) != len(pairs)
        return kept

    tree = json.loads(body, object_pairs_hook=keep)
    found: list[str] = []
    if doubled:
        _walk(tree, None, found)
    return found


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, to tell it from an array."""


def _walk(tree: Any, path: Path, found: list[str]) -> None:
    if isinstance(tree, _Pairs):
        seen: set[str] = set()
        for key, value in tree:
            here = (path, key)
            if key in seen:
                found.append(path_text(here))
            seen.add(key)
            _walk(value, here, found)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            _walk(value, (path, index), found)


def _check_depth(body: bytes) -> None:
    """Bounded nesting. Few brackets cannot nest deep, so that ordinary bodies pay for two counts only."""
    if body.count(b"{") + body.count(b"[") <= DEPTH_MAX:
        return
    depth = 0
    for match in _BRACKETS.finditer(body):
        token = match.group()
        if token in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise SyntaxFault("exceeded max depth")
        elif token in b"]}":
            depth -= 1


def _explain(body: bytes, error: Exception) -> NoReturn:
    """The fault again by the standard parser, which knows the position, in Go's words."""

    def refuse_constant(name: str) -> NoReturn:
        """NaN and Infinity, which the standard parser would take."""
        raise json.JSONDecodeError("Expecting value", body.decode(), body.find(name.encode()))

    try:
        json.loads(body, parse_constant=refuse_constant)
    except json.JSONDecodeError as fault:
        position, message = fault.pos, fault.msg
    except RecursionError:
        raise SyntaxFault("exceeded max depth") from None
    except ValueError:
        raise SyntaxFault(f"invalid text: {error}") from None
    else:
        raise SyntaxFault(str(error))
    text = body.decode("utf-8", "replace")
    while position < len(text) and text[position].isspace():
        position += 1
    if position >= len(text) or message.startswith("Unterminated"):
        raise SyntaxFault("unexpected end of JSON input")
    words = next((go for prefix, go in _GO_WORDS if message.startswith(prefix)), "looking for beginning of value")
    shown = "\\'" if text[position] == "'" else repr(text[position])[1:-1]
    raise SyntaxFault(f"invalid character '{shown}' {words}")
