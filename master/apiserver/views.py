"""Objects in the shapes that clients ask for: plain, Table rows, PartialObjectMetadata; single, listed, watched.

Everything is built out of the entry's bytes: plain objects are those bytes, metadata is a slice of them. Only table
cells need the typed object.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from master.api.meta import ListMeta
from master.api.scheme import ResourceInfo
from master.api.tables import META_GROUP, TableRow, bookmark_table, build_table, partial_metadata, table_row
from master.apiserver import errors
from master.apiserver.entry import Entry
from master.apiserver.negotiation import METADATA, METADATA_LIST, PLAIN, TABLE, Form
from master.apiserver.request import Request

Clock = Callable[[], float]
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
INCLUDE_OBJECTS = ("", "None", "Metadata", "Object")


def list_meta(revision: int, continue_token: str = "", remaining: int | None = None) -> ListMeta:
    return ListMeta(resource_version=str(revision), continue_=continue_token, remaining_item_count=remaining)


class View:
    """How one request wants to see objects."""

    def __init__(self, info: ResourceInfo, form: Form, include: str, now: Clock) -> None:
        self.info = info
        self.form = form
        self.include = include or "Metadata"
        self._now = now
        self.key = f"{form.shape}/{form.version}/{self.include}" if form.shape == TABLE else form.shape

    def one(self, entry: Entry) -> bytes:
        if self.form.shape == PLAIN:
            return entry.data
        if self.form.shape == TABLE:
            return self._table([entry], list_meta(entry.revision), with_columns=True)
        return self._partial(entry)

    def many(self, entries: Sequence[Entry], meta: ListMeta) -> list[bytes]:
        """The parts of a list; joined on their way out."""
        if self.form.shape == TABLE:
            return [self._table(entries, meta, with_columns=True)]
        if self.form.shape == PLAIN:
            kind, version = self.info.list_kind, self.info.api_version
            items = [entry.data for entry in entries]
        else:
            kind, version = METADATA_LIST, f"{META_GROUP}/{self.form.version}"
            items = [self._partial(entry) for entry in entries]
        head = msgspec.json.encode({"kind": kind, "apiVersion": version, "metadata": meta})
        parts = [head[:-1] + b',"items":[']
        for item in items:
            parts += (item, b",")
        if items:
            parts.pop()
        parts.append(b"]}\n")
        return parts

    def event(self, kind: str, entry: Entry) -> bytes:
        """One line of a watch stream."""
        shape = self.form.shape
        if shape == PLAIN:
            body = entry.data
        elif shape == TABLE:
            body = self._table([entry], list_meta(entry.revision), with_columns=False)
        else:
            body = self._partial(entry)
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)

    def first_event(self, kind: str, entry: Entry) -> bytes:
        """The first event of a Table watch brings the column definitions."""
        if self.form.shape != TABLE:
            return self.event(kind, entry)
        body = self._table([entry], list_meta(entry.revision), with_columns=True)
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_events_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        tree = {"kind": self.info.kind, "apiVersion": self.info.api_version, "metadata": metadata}
        body: bytes = msgspec.json.encode(tree)
        if self.form.shape == TABLE:
            shown = self._shown(body, msgspec.json.encode(metadata))
            body = msgspec.json.encode(bookmark_table(str(revision), shown, self.form.version))
        elif self.form.shape != PLAIN:
            body = partial_metadata(msgspec.json.encode(metadata), self.form.version)
        return b'{"type":"BOOKMARK","object":%b}\n' % body

    def _partial(self, entry: Entry) -> bytes:
        return partial_metadata(bytes(entry.metadata), self.form.version)

    def _table(self, entries: Sequence[Entry], meta: ListMeta, *, with_columns: bool) -> bytes:
        now = self._now()
        rows = [self._row(entry, now) for entry in entries]
        table = build_table(self.info, rows, meta, version=self.form.version, with_columns=with_columns)
        return msgspec.json.encode(table)

    def _row(self, entry: Entry, now: float) -> TableRow:
        metadata = bytes(entry.metadata) if self.include == "Metadata" else b""
        return table_row(self.info, self.info.decode(entry.data), now, self._shown(entry.data, metadata))

    def _shown(self, whole: bytes, metadata: bytes) -> bytes | None:
        """What a row shows of its object, as `includeObject` says."""
        if self.include == "Object":
            return whole
        return partial_metadata(metadata, self.form.version) if self.include == "Metadata" else None


def view_of(request: Request, info: ResourceInfo, form: Form, now: Clock, *, of_list: bool = False) -> View:
    """The view that a request asks for; 406 and 400 for what cannot be shown."""
    if of_list and form.shape == METADATA:
        group = info.group.split(".")[0] or "core"
        what = f"you requested {METADATA}, but the requested object is a list (*{group}.{info.kind}List)"
        raise errors.no_such_shape(what)
    if not of_list and form.shape == METADATA_LIST:
        raise errors.no_such_shape(f"you requested {METADATA_LIST}, but the requested object is not a list")
    include = request.param("includeObject")
    if form.shape == TABLE and include not in INCLUDE_OBJECTS:
        raise errors.bad_request(f"unrecognized includeObject value: {include!r}")
    return View(info, form, include, now)
