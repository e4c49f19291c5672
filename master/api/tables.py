"""Tables and bare metadata: the two forms in which clients ask for objects besides their own.

`kubectl get` prints a Table; garbage collectors and quota follow PartialObjectMetadata.
"""

from typing import Any, Literal

import msgspec

from master.api.core.pod import Pod
from master.api.core.pod_cells import finished_condition
from master.api.meta import ListMeta, Object, ObjectMeta
from master.api.model import Model, required_list
from master.api.resource import ResourceInfo

META_V1 = "meta.k8s.io/v1"
IncludeObject = Literal["Metadata", "Object", "None"]


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
    api_version: str = msgspec.field(default_factory=lambda: META_V1)
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    column_definitions: list[TableColumn] | None = msgspec.field(default_factory=lambda: None)
    rows: list[TableRow] = required_list()


class PartialObjectMetadata(Model):
    kind: str = msgspec.field(default_factory=lambda: "PartialObjectMetadata")
    api_version: str = msgspec.field(default_factory=lambda: META_V1)
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


def table_columns(info: ResourceInfo) -> list[TableColumn]:
    return [
        TableColumn(name=c.name, type=c.type, format=c.format, description=c.name, priority=c.priority)
        for c in info.columns
    ]


def table_row(info: ResourceInfo, obj: Any, now_s: float, include: IncludeObject = "Metadata") -> TableRow:
    """The row of one object."""
    return TableRow(cells=info.cells(obj, now_s), conditions=_conditions(obj), object=_row_object(info, obj, include))


def _conditions(obj: Any) -> list[dict[str, str]]:
    condition = finished_condition(obj) if isinstance(obj, Pod) else None
    return [condition] if condition else []


def _row_object(info: ResourceInfo, obj: Object, include: IncludeObject) -> msgspec.Raw | None:
    if include == "None":
        return None
    if include == "Object":
        return msgspec.Raw(info.encode(obj))
    return msgspec.Raw(partial_metadata(obj))


def partial_metadata(obj: Object) -> bytes:
    """An object as PartialObjectMetadata, in JSON."""
    return msgspec.json.encode(PartialObjectMetadata(metadata=obj.metadata))


def build_table(
    info: ResourceInfo,
    objects: list[Any],
    now_s: float,
    *,
    include: IncludeObject = "Metadata",
    metadata: ListMeta | None = None,
    with_columns: bool = True,
) -> Table:
    """A Table of some objects; a watch sends the columns with its first event only."""
    return Table(
        metadata=metadata or ListMeta(),
        column_definitions=table_columns(info) if with_columns else None,
        rows=[table_row(info, obj, now_s, include) for obj in objects],
    )


def bookmark_table(metadata: ObjectMeta) -> Table:
    """A bookmark in Table form: no columns, one empty row whose object carries the version."""
    row = TableRow(
        cells=["", "<unknown>"], object=msgspec.Raw(msgspec.json.encode(PartialObjectMetadata(metadata=metadata)))
    )
    return Table(metadata=ListMeta(resource_version=metadata.resource_version), rows=[row])
