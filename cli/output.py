"""Objects and tables → text, in kubectl's formats; pure."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from cli import jsonpath
from cli.errors import CommandError
from cli.resources import Catalogue, Tree

GAP = "   "
"""kubectl puts three blanks between columns."""
TABLE = ",".join(
    (
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
        "application/json",
    )
)


class Grid:
    """Rows of cells as aligned columns. Widths may only grow, so that rows of a watch stay in line."""

    def __init__(self, headers: Sequence[str]) -> None:
        self.headers = list(headers)
        self._widths = [len(header) for header in self.headers]

    def lines(self, rows: Sequence[Sequence[str]], *, with_headers: bool = True) -> list[str]:
        shown = [self.headers, *rows] if with_headers and self.headers else list(rows)
        for row in shown:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        return [self._line(row) for row in shown]

    def _line(self, row: Sequence[str]) -> str:
        return GAP.join(cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)).rstrip()


class TableView:
    """A server's Table answers (of a list, then of a watch) as lines."""

    def __init__(
        self,
        *,
        wide: bool = False,
        with_namespace: bool = False,
        with_headers: bool = True,
        label_columns: Sequence[str] = (),
        show_labels: bool = False,
        prefix: str = "",
    ) -> None:
        self._wide = wide
        self._with_namespace = with_namespace
        self._with_headers = with_headers
        self._label_columns = label_columns
        self._show_labels = show_labels
        self._prefix = prefix
        self._columns: list[int] = []
        self._grid: Grid | None = None

    def lines(self, table: Tree) -> list[str]:
        """The lines of one answer; column headers come once."""
        table = table if table.get("kind") == "Table" else _plain_table(table)
        first = self._grid is None
        if first:
            self._grid = self._start(table.get("columnDefinitions") or [])
        assert self._grid is not None, "made just above"
        rows = [self._row(row) for row in table.get("rows") or []]
        return self._grid.lines(rows, with_headers=first and self._with_headers)

    def _start(self, definitions: Sequence[Tree]) -> Grid:
        self._columns = [
            index for index, column in enumerate(definitions) if self._wide or not column.get("priority", 0)
        ]
        headers = [definitions[index]["name"].upper() for index in self._columns]
        headers += [key.rsplit("/", 1)[-1].upper() for key in self._label_columns]
        headers += ["LABELS"] if self._show_labels else []
        return Grid((["NAMESPACE"] if self._with_namespace else []) + headers)

    def _row(self, row: Tree) -> list[str]:
        meta = (row.get("object") or {}).get("metadata") or {}
        cells = [_cell(row["cells"][index]) for index in self._columns]
        if self._prefix and cells:
            cells[0] = f"{self._prefix}/{cells[0]}"
        labels = meta.get("labels") or {}
        cells += [labels.get(key, "<none>") for key in self._label_columns]
        if self._show_labels:
            cells.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>")
        return ([meta.get("namespace", "")] if self._with_namespace else []) + cells


def _cell(value: Any) -> str:
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "<none>"


def _plain_table(answer: Tree) -> Tree:
    """A server without Tables sends the objects themselves: their names are shown."""
    items = answer.get("items", [answer])
    return {
        "columnDefinitions": [{"name": "Name"}, {"name": "Created at"}],
        "rows": [
            {"cells": [item["metadata"]["name"], item["metadata"].get("creationTimestamp", "")], "object": item}
            for item in items
        ],
    }


def is_table_format(output: str) -> bool:
    return output in ("", "wide")


def check_format(output: str) -> None:
    """CommandError for an output format that does not exist."""
    name = output.partition("=")[0]
    if name not in ("", "wide", "json", "yaml", "name", "jsonpath", "jsonpath-as-json"):
        allowed = "json,yaml,name,wide,jsonpath"
        raise CommandError(f'unable to match a printer suitable for the output format "{output}", allowed: {allowed}')


def format_objects(objects: Sequence[Tree], output: str, catalogue: Catalogue, *, as_list: bool) -> str:
    """json, yaml, name or jsonpath. Several objects (or `as_list`) become a List."""
    check_format(output)
    shown = [without_managed_fields(each) for each in objects]
    if output == "name":
        return "".join(f"{_label(each, catalogue)}\n" for each in shown)
    tree = list_of(shown) if as_list else shown[0]
    name, _, template = output.partition("=")
    if name == "jsonpath":
        return jsonpath.render(template, tree)
    return format_tree(tree, name)


def format_tree(tree: Tree, output: str) -> str:
    if output == "yaml":
        return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=True, default_flow_style=False, allow_unicode=True))
    return json.dumps(tree, indent=4, ensure_ascii=False) + "\n"


def list_of(objects: Sequence[Tree]) -> Tree:
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}


def without_managed_fields(tree: Tree) -> Tree:
    meta = {key: value for key, value in (tree.get("metadata") or {}).items() if key != "managedFields"}
    return {**tree, "metadata": meta}


def _label(tree: Tree, catalogue: Catalogue) -> str:
    return catalogue.by_kind(tree["apiVersion"], tree["kind"]).label(tree["metadata"]["name"])


class _Dumper(yaml.SafeDumper):  # type: ignore[misc] # PyYAML has no types
    """Block style for texts of several lines, as people write them."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
