"""Events tell people what a component did and why. They are best effort: they never block, slow or fail the work.

The same event said again only raises a count, as in `kubectl describe`: while it waits to be sent it is folded into
the waiting one, afterwards the Event object is patched.
"""

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from master.api.core.event import Event, EventSource
from master.api.core.references import ObjectReference
from master.api.meta import Object, ObjectMeta
from master.api.scheme import SCHEME
from master.api.status import ApiError, NotFound
from master.api.timestamps import now_rfc3339
from master.client.rest import RestClient

log = logging.getLogger(__name__)

MAX_PENDING = 1000
"""Distinct events that wait to be sent (client-go's broadcaster holds 1000 too); more are dropped and counted."""
MAX_REMEMBERED = 4096
"""Sent events that can still be counted up (client-go's LRU has the same size)."""
FAILURE_PAUSE_S = 1.0
MAX_MESSAGE = 1024
"""Kubernetes' bound on an event's message."""


class EventKey(msgspec.Struct, frozen=True):
    """What makes two events the same."""

    uid: str
    kind: str
    namespace: str
    name: str
    type: str
    reason: str
    message: str


class _Pending(msgspec.Struct):
    reference: ObjectReference
    first_s: float
    last_s: float
    count: int


class _Sent(msgspec.Struct):
    name: str
    count: int


class EventRecorder:
    """`event(…)` anywhere, `run()` once as a task."""

    def __init__(
        self,
        client: RestClient,
        component: str,
        *,
        host: str = "",
        wall_clock: Callable[[], float] = time.time,
        new_suffix: Callable[[], str] = lambda: uuid.uuid4().hex[:16],
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._wall_clock = wall_clock
        self._new_suffix = new_suffix
        self._pending: OrderedDict[EventKey, _Pending] = OrderedDict()
        self._sent: OrderedDict[EventKey, _Sent] = OrderedDict()
        self._wakeup = asyncio.Event()
        self.dropped = 0

    def event(self, obj: Object, type: str, reason: str, message: str) -> None:
        """Note that something happened to `obj`; `type` is Normal or Warning."""
        reference = reference_to(obj)
        key = EventKey(
            uid=reference.uid,
            kind=reference.kind,
            namespace=reference.namespace,
            name=reference.name,
            type=type,
            reason=reason,
            message=message[:MAX_MESSAGE],
        )
        now_s = self._wall_clock()
        waiting = self._pending.get(key)
        if waiting is not None:
            waiting.count += 1
            waiting.last_s = now_s
        elif len(self._pending) >= MAX_PENDING:
            self.dropped += 1
        else:
            self._pending[key] = _Pending(reference, now_s, now_s, 1)
            self._wakeup.set()

    async def run(self) -> None:
        """Send what comes in, for ever."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._pending:
                key, pending = self._pending.popitem(last=False)
                try:
                    await self._send(key, pending)
                except (ApiError, OSError) as error:
                    log.info("event %s on %s/%s not sent: %s", key.reason, key.kind, key.name, error)
                    await asyncio.sleep(FAILURE_PAUSE_S)

    async def _send(self, key: EventKey, pending: _Pending) -> None:
        sent = self._sent.get(key)
        if sent is not None:
            patch = {"count": sent.count + pending.count, "lastTimestamp": now_rfc3339(pending.last_s)}
            try:
                await self._client.patch(Event, sent.name, key.namespace or "default", patch)
                sent.count += pending.count
                self._sent.move_to_end(key)
                return
            except NotFound:  # it outlived its time; begin a new one
                del self._sent[key]
        created = await self._client.create(self._build(key, pending))
        self._sent[key] = _Sent(created.metadata.name, pending.count)
        while len(self._sent) > MAX_REMEMBERED:
            self._sent.popitem(last=False)

    def _build(self, key: EventKey, pending: _Pending) -> Event:
        return Event(
            metadata=ObjectMeta(name=f"{key.name}.{self._new_suffix()}", namespace=key.namespace or "default"),
            involved_object=pending.reference,
            type=key.type,
            reason=key.reason,
            message=key.message,
            source=EventSource(component=self._component, host=self._host),
            reporting_component=self._component,
            reporting_instance=self._host,
            first_timestamp=now_rfc3339(pending.first_s),
            last_timestamp=now_rfc3339(pending.last_s),
            count=pending.count,
        )


def reference_to(obj: Object) -> ObjectReference:
    """How other objects name this one."""
    info = SCHEME.by_struct(type(obj))
    return ObjectReference(
        kind=info.kind,
        api_version=info.api_version,
        namespace=obj.metadata.namespace,
        name=obj.metadata.name,
        uid=obj.metadata.uid,
        resource_version=obj.metadata.resource_version,
    )
