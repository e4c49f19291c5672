"""YAML text as a JSON tree: no aliases beyond a budget, no tags but the plain ones, duplicate keys noticed.

Scalars resolve as in Go's YAML library where it differs from PyYAML: no sexagesimal numbers, times stay text.
"""

import re
from typing import Any

import yaml

from master.api.wire.json_text import DEPTH_MAX, Path, SyntaxFault, path_text

NODES_MAX = 200_000
"""Nodes after aliases are expanded; a 3 MiB body cannot hold more honest ones of use."""

_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE = "tag:yaml.org,2002:merge"
_STR = "tag:yaml.org,2002:str"
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "timestamp", "value"))


def parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """(tree, paths of duplicate keys) of the first document. SyntaxFault when it is no YAML."""
    try:
        node = yaml.compose(body, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise SyntaxFault(f"yaml: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise SyntaxFault("exceeded max depth") from None
    if node is None:
        return None, []
    builder = _Builder()
    return builder.build(node, None, 0), builder.duplicates


class _Builder:
    """Turns composed nodes into a tree within the budget."""

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise SyntaxFault("yaml: document contains excessive aliasing")
        if depth > DEPTH_MAX:
            raise SyntaxFault("exceeded max depth")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (path, index), depth + 1) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged = self._merge(value_node, path, depth) | merged
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise SyntaxFault("yaml: invalid map key")
            key = _key(key_node)
            if key in tree:
                self.duplicates.append(path_text((path, key)))
            tree[key] = self.build(value_node, (path, key), depth + 1)
        return merged | tree

    def _merge(self, node: yaml.Node, path: Path, depth: int) -> dict[str, Any]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for item in nodes:
            if not isinstance(item, yaml.MappingNode):
                raise SyntaxFault("yaml: map merge requires map or sequence of maps as the value")
            merged = self.build(item, path, depth + 1) | merged
        return merged


def _key(node: yaml.ScalarNode) -> str:
    value = _scalar(node)
    if isinstance(value, str):
        return value
    return {True: "true", False: "false", None: "null"}[value] if value in (True, False, None) else str(value)


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    quoted = node.style is not None
    if node.tag == _STR and quoted:
        return text
    if node.tag != _STR and node.tag not in _PLAIN_TAGS and not node.tag.startswith("tag:yaml.org,2002:merge"):
        raise SyntaxFault(f"yaml: unsupported tag {node.tag}")
    if quoted and node.tag == _STR:
        return text
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INT.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if text.lower().lstrip("+-") in (".nan", ".inf"):
        raise SyntaxFault(f"json: unsupported value: {text}")
    return text


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)
