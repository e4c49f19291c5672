"""core.event types of the Kubernetes API (1.36)."""

import msgspec

from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.model import Int32, MicroTime, Model, Time, required
from master.api.resource import ResourceInfo
from master.api.strategy import Strategy


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
    ),
)
