"""The part of kubectl's JSONPath that people use: fields, indexes, `[*]`, filters, `..`-free, and range/end.

A template is text with expressions in braces: `{range .items[*]}{.metadata.name}{"\\n"}{end}`. Pure.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from cli.errors import CommandError

_PIECE = re.compile(r"\{((?:[^{}\"']|\"(?:[^\"\\]|\\.)*\"|'[^']*')*)\}")
_STEP = re.compile(
    r"\.?(?P<field>[A-Za-z_](?:[\w\-/]|\\\.)*)"
    r"|\.(?P<star>\*)"
    r"|\[(?P<index>-?\d+)\]"
    r"|\[(?P<slice>-?\d*:-?\d*)\]"
    r"|\[(?P<all>\*)\]"
    r"|\[['\"](?P<quoted>[^'\"]*)['\"]\]"
    r"|\[\?\(@(?P<path>[^=!<>)]+?)\s*(?:(?P<op>==|!=|>=|<=|>|<)\s*(?P<value>[^)]+?)\s*)?\)\]"
)


def render(template: str, tree: Any) -> str:
    """The template's text for one object or list."""
    if "{" not in template:
        template = f"{{{template}}}"
    pieces = list(_pieces(template))
    text, rest = _render(pieces, tree)
    if rest:
        raise CommandError("jsonpath: {end} without {range}")
    return text


def _pieces(template: str) -> Iterator[tuple[str, bool]]:
    """(text, is it an expression) in order."""
    position = 0
    for match in _PIECE.finditer(template):
        if match.start() > position:
            yield template[position : match.start()], False
        yield match.group(1).strip(), True
        position = match.end()
    rest = template[position:]
    if "{" in rest or "}" in rest:
        raise CommandError(f"jsonpath: unbalanced braces in {template!r}")
    if rest:
        yield rest, False


def _render(pieces: list[tuple[str, bool]], tree: Any) -> tuple[str, list[tuple[str, bool]]]:
    """Text up to an `end` of this level (or the end of all), and the pieces after it."""
    text = ""
    while pieces:
        (piece, is_expression), *pieces = pieces
        if not is_expression:
            text += piece
        elif piece == "end":
            return text, [("end", True), *pieces]
        elif piece.startswith("range "):
            body, rest = pieces, pieces
            for value in find(piece.removeprefix("range "), tree):
                part, rest = _render(body, value)
                text += part
            if rest is body:
                rest = _render(body, None)[1]
            if not rest:
                raise CommandError("jsonpath: {range} without {end}")
            pieces = rest[1:]
        elif piece[:1] in ('"', "'"):
            text += _unquoted(piece)
        else:
            text += " ".join(_shown(value) for value in find(piece, tree))
    return text, []


def find(expression: str, tree: Any) -> list[Any]:
    """All values at a path such as `.items[*].metadata.name`."""
    rest = expression.strip().removeprefix("$").removeprefix("@")
    values = [tree]
    while rest and rest != ".":
        match = _STEP.match(rest)
        if match is None:
            raise CommandError(f"jsonpath: cannot read {rest!r}")
        values = [found for value in values for found in _step(match, value)]
        rest = rest[match.end() :]
    return values


def _step(match: re.Match[str], value: Any) -> list[Any]:
    group = match.lastgroup
    if group in ("star", "all"):
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if group in ("field", "quoted"):
        name = (match["field"] or match["quoted"]).replace("\\.", ".")
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if group == "index":
        index = int(match["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    if group == "slice":
        first, _, last = match["slice"].partition(":")
        return value[int(first) if first else None : int(last) if last else None]
    return [item for item in value if _holds(match, item)]


def _holds(match: re.Match[str], item: Any) -> bool:
    found = find(match["path"], item)
    if match["op"] is None or not found:
        return bool(found)
    left, right = found[0], _literal(match["value"])
    try:
        return bool(
            {
                "==": left == right,
                "!=": left != right,
                ">": match["op"] == ">" and left > right,
                "<": match["op"] == "<" and left < right,
                ">=": match["op"] == ">=" and left >= right,
                "<=": match["op"] == "<=" and left <= right,
            }[match["op"]]
        )
    except TypeError:
        return False


def _literal(text: str) -> Any:
    if text[:1] in ('"', "'"):
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _unquoted(piece: str) -> str:
    body = piece[1:-1]
    return body.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\\\", "\\")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
