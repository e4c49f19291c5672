"""The look of a description: labels in a column, nested values indented; pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cli.output import Grid
from cli.resources import Tree

INDENT = 2
LABEL_WIDTH = 18
MAX_DEPTH = 12
"""Deeper trees do not occur in the API; the bound guards against a hostile object."""


class Page:
    """Lines of text under construction."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def field(self, label: str, value: object, *, level: int = 0) -> None:
        """`Name:   web`; several lines of a value stand below each other."""
        pad = " " * (INDENT * level)
        first, *rest = _shown(value).split("\n")
        width = max(LABEL_WIDTH, len(label) + 2)
        self._lines.append(f"{pad}{label + ':':<{width}}{first}".rstrip())
        self._lines.extend(f"{pad}{'':<{width}}{line}" for line in rest)

    def heading(self, label: str, *, level: int = 0) -> None:
        self._lines.append(f"{' ' * (INDENT * level)}{label}:")

    def mapping(self, label: str, values: Mapping[str, object] | None, *, level: int = 0) -> None:
        """Labels and the like: one `key=value` a line."""
        self.field(label, "\n".join(f"{key}={value}" for key, value in sorted((values or {}).items())), level=level)

    def table(self, label: str, headers: Sequence[str], rows: Sequence[Sequence[str]], *, level: int = 0) -> None:
        if not rows:
            self.field(label, "<none>", level=level)
            return
        self.heading(label, level=level)
        pad = " " * (INDENT * (level + 1))
        underlines = ["-" * len(header) for header in headers]
        self._lines.extend(pad + line for line in Grid(headers).lines([underlines, *rows]))

    def tree(self, value: Any, *, level: int = 0) -> None:
        """Any value, as an outline: what is known of a kind without a page of its own."""
        if level > MAX_DEPTH:
            self._lines.append(f"{' ' * (INDENT * level)}…")
        elif isinstance(value, Mapping):
            self._outline(value.items(), level)
        elif isinstance(value, list):
            for item in value:
                self.tree(item, level=level)

    def _outline(self, items: Iterable[tuple[str, Any]], level: int) -> None:
        for key, value in items:
            label = words(key)
            if isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(v, Mapping) for v in value)):
                self.heading(label, level=level)
                self.tree(value, level=level + 1)
            else:
                shown = "\n".join(map(str, value)) if isinstance(value, list) else value
                self.field(label, shown, level=level)


def _shown(value: object) -> str:
    if value is None or value == "":
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def words(camel: str) -> str:
    """`nodeName` → `Node Name`."""
    spaced = "".join(
        f" {char}" if char.isupper() and before.islower() else char
        for before, char in zip(" " + camel, camel, strict=False)
    )
    return spaced[:1].upper() + spaced[1:]


def head(page: Page, tree: Tree) -> None:
    """What every object has."""
    meta = tree["metadata"]
    page.field("Name", meta["name"])
    if meta.get("namespace"):
        page.field("Namespace", meta["namespace"])
    page.mapping("Labels", meta.get("labels"))
    page.mapping("Annotations", shown_annotations(meta))


def shown_annotations(meta: Tree) -> dict[str, str]:
    """Without the bookkeeping of `apply`, which repeats the whole object."""
    annotations = meta.get("annotations") or {}
    return {key: value for key, value in annotations.items() if not key.endswith("/last-applied-configuration")}


def owner_of(meta: Tree) -> str:
    """`ReplicaSet/web-5d`, or nothing."""
    for owner in meta.get("ownerReferences") or []:
        if owner.get("controller"):
            return f"{owner['kind']}/{owner['name']}"
    return ""
