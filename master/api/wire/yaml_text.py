"""YAML text as a JSON tree: no aliases beyond a budget, no tags but the plain ones, duplicate keys noticed.

The tree is built from the parser's stream of events, so that nesting is bounded before anything recurses: PyYAML's own
composer overflows the C stack on a body of brackets, which would take the whole server down. Scalars resolve as in
Go's YAML library where it differs from PyYAML: no sexagesimal numbers, times stay text.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from master.api.wire.json_text import DEPTH_MAX, Path, SyntaxFault, path_text

NODES_MAX = 200_000
"""Nodes after aliases are expanded; a 3 MiB body cannot hold more honest ones of use."""

_INT = re.compile(r"[-+]?(?:0b[01_]+|0o[0-7_]+|0[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_TAG + name for name in ("int", "float", "bool", "null", "timestamp", "map", "seq"))
_STRINGS = frozenset({_TAG + "str", "!"})


def parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """(tree, paths of duplicate keys) of the first document. SyntaxFault when it is no YAML."""
    builder = _Builder(yaml.parse(body, Loader=yaml.CSafeLoader))
    try:
        return builder.document(), builder.duplicates
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SyntaxFault(f"yaml: {' '.join(str(error).split())}") from None


class _Anchored(NamedTuple):
    value: Any
    nodes: int


class _Builder:
    """Turns events into a tree within the budget."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self.duplicates: list[str] = []
        self._events = events
        self._nodes = 0
        self._anchors: dict[str, _Anchored | None] = {}
        """None while the anchored value is still being built."""

    def document(self) -> Any:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                return self._value(next(self._events), None, 0)
        return None

    def _value(self, event: yaml.Event, path: Path, depth: int) -> Any:
        self._count(1)
        if depth > DEPTH_MAX:
            raise SyntaxFault("exceeded max depth")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor)
        before = self._nodes
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.MappingStartEvent):
            value: Any = self._mapping(path, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path, depth)
        else:
            value = _scalar(event)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, self._nodes - before + 1)
        return value

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise SyntaxFault("yaml: document contains excessive aliasing")

    def _alias(self, name: str) -> Any:
        if name not in self._anchors:
            raise SyntaxFault(f"yaml: unknown anchor '{name}' referenced")
        anchored = self._anchors[name]
        if anchored is None:
            raise SyntaxFault(f"yaml: anchor '{name}' value contains itself")
        self._count(anchored.nodes)
        return anchored.value

    def _sequence(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = _key(self._value(event, path, depth + 1))
            value = self._value(next(self._events), (path, key), depth + 1)
            if merge:
                merged = _merge(value) | merged
                continue
            if key in tree:
                self.duplicates.append(path_text((path, key)))
            tree[key] = value
        return merged | tree


def _merge(value: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise SyntaxFault("yaml: map merge requires map or sequence of maps as the value")
        merged = item | merged
    return merged


def _key(value: Any) -> str:
    if isinstance(value, dict | list):
        raise SyntaxFault("yaml: invalid map key")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    plain, quoted = event.implicit
    if event.tag in _STRINGS or (quoted and not plain):
        return text
    if event.tag is not None and event.tag not in _PLAIN_TAGS:
        raise SyntaxFault(f"yaml: unsupported tag {event.tag}")
    return _plain(text)


def _plain(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INT.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text.replace("_", ""))
    if text.lower().lstrip("+-") in (".nan", ".inf"):
        raise SyntaxFault(f"json: unsupported value: {text}")
    return text


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise SyntaxFault(f"json: unsupported value: {text}")
    return number


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    try:
        return sign * int(digits, 0)
    except ValueError:  # more digits than Python converts; no field is that wide
        raise SyntaxFault("yaml: number out of range") from None
