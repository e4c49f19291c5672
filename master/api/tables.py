"""Tables and bare metadata: the two forms in which clients ask for objects besides their own.

`kubectl get` prints a Table; garbage collectors and quota follow PartialObjectMetadata. What a row shows of its object
comes in as bytes: whoever serves a Table has them already.
"""

from typing import Any

import msgspec

from master.api.core.pod import Pod
from master.api.core.pod_cells import finished_condition
from master.api.meta import ListMeta
from master.api.model import Model, required_list
from master.api.resource import ResourceInfo

META_GROUP = "meta.k8s.io"


class TableColumn(Model):
    name: str
    type: str
    format: str
    description: str
    priority: int


class TableRow(Model):
    cells: list[Any] = required_list()
    conditions: list[dict[str, str]] = []
    object: msgspec.Raw | None = None


class Table(Model):
    kind: str = msgspec.field(default_factory=lambda: "Table")
    api_version: str = msgspec.field(default_factory=lambda: f"{META_GROUP}/v1")
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    column_definitions: list[TableColumn] | None = msgspec.field(default_factory=lambda: None)
    rows: list[TableRow] = required_list()


def table_columns(info: ResourceInfo) -> list[TableColumn]:
    return [
        TableColumn(name=c.name, type=c.type, format=c.format, description=c.name, priority=c.priority)
        for c in info.columns
    ]


def table_row(info: ResourceInfo, obj: Any, now_s: float, shown: bytes | None) -> TableRow:
    """The row of one object; `shown` is what it shows of the object besides the cells."""
    return TableRow(cells=info.cells(obj, now_s), conditions=_conditions(obj), object=_raw(shown))


def _conditions(obj: Any) -> list[dict[str, str]]:
    condition = finished_condition(obj) if isinstance(obj, Pod) else None
    return [condition] if condition else []


def _raw(shown: bytes | None) -> msgspec.Raw | None:
    return None if shown is None else msgspec.Raw(shown)


def partial_metadata(metadata: bytes, version: str = "v1") -> bytes:
    """The bytes of an object's metadata as a PartialObjectMetadata."""
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"%b/%b","metadata":'
    return head % (META_GROUP.encode(), version.encode()) + metadata + b"}"


def build_table(
    info: ResourceInfo, rows: list[TableRow], metadata: ListMeta, *, version: str = "v1", with_columns: bool = True
) -> Table:
    """A Table of some rows; a watch sends the columns with its first event only."""
    columns = table_columns(info) if with_columns else None
    return Table(api_version=f"{META_GROUP}/{version}", metadata=metadata, column_definitions=columns, rows=rows)


def bookmark_table(resource_version: str, shown: bytes | None, version: str = "v1") -> Table:
    """A bookmark in Table form: no columns, one empty row whose object carries the version."""
    row = TableRow(cells=["", "<unknown>"], object=_raw(shown))
    metadata = ListMeta(resource_version=resource_version)
    return Table(api_version=f"{META_GROUP}/{version}", metadata=metadata, rows=[row])
