"""core.event types of the Kubernetes API (1.36)."""

import msgspec

from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.model import Int32, MicroTime, Model, Time, required
from master.api.resource import Cell, Column, ResourceInfo, Tree, wide
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import validate_metadata, validate_metadata_update


class EventSeries(Model):
    count: Int32 = 0
    last_observed_time: MicroTime | None = None


class EventSource(Model):
    component: str = ""
    host: str = ""


class Event(Object):
    event_time: MicroTime | None = required(None)
    series: EventSeries | None = None
    action: str = ""
    related: ObjectReference | None = None
    reporting_component: str = required("")
    reporting_instance: str = required("")
    involved_object: ObjectReference = msgspec.field(default_factory=ObjectReference)
    reason: str = ""
    message: str = ""
    source: EventSource = msgspec.field(default_factory=EventSource)
    first_timestamp: Time | None = required(None)
    last_timestamp: Time | None = required(None)
    count: Int32 = 0
    type: str = ""


def validate(event: Event) -> list[FieldError]:
    errors = validate_metadata(event.metadata)
    involved = event.involved_object.namespace
    if event.metadata.namespace != (involved or "default"):
        errors.append(FieldError.invalid("involvedObject.namespace", involved, "does not match event.namespace"))
    return errors


def validate_update(new: Event, old: Event) -> list[FieldError]:
    return validate_metadata_update(new.metadata, old.metadata) + validate(new)


def cells(event: Event, now_s: float) -> list[Cell]:
    first = event.first_timestamp or event.event_time
    last = event.series.last_observed_time if event.series else event.last_timestamp
    involved = event.involved_object
    source = event.source.component or event.reporting_component
    host = event.source.host or event.reporting_instance
    count = event.series.count if event.series else event.count
    return [
        age(last or first, now_s),
        event.type,
        event.reason,
        f"{involved.kind.lower()}/{involved.name}" if involved.name else involved.kind.lower(),
        involved.field_path,
        f"{source}, {host}" if host else source,
        event.message.strip(),
        age(first, now_s),
        str(count or 1),
        event.metadata.name,
    ]


def own_fields(tree: Tree) -> dict[str, str]:
    involved = tree.get("involvedObject") or {}
    source = tree.get("source") or {}
    names = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    fields = {f"involvedObject.{name}": involved.get(name, "") for name in names}
    return fields | {
        "reason": tree.get("reason", ""),
        "reportingComponent": tree.get("reportingComponent", ""),
        "source": source.get("component", "") or tree.get("reportingComponent", ""),
        "type": tree.get("type", ""),
    }


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Event",
        plural="events",
        singular="event",
        short_names=("ev",),
        struct=Event,
        strategy=Strategy(allow_create_on_update=True, default_propagation=""),
        validate=validate,
        validate_update=validate_update,
        columns=(
            Column("Last Seen"),
            Column("Type"),
            Column("Reason"),
            Column("Object"),
            wide("Subobject"),
            wide("Source"),
            Column("Message"),
            wide("First Seen"),
            wide("Count"),
            Column("Name", format="name", priority=1),
        ),
        cells=cells,
        own_fields=own_fields,
    ),
)
