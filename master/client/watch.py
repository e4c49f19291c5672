"""A watch as a stream of typed events: lines out of chunks, Structs out of lines."""

import random
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

from master.api.meta import Object, Status
from master.api.scheme import SCHEME
from master.api.status import ApiError
from master.client.streams import Streams

T = TypeVar("T", bound=Object)

WATCH_TIMEOUT_S = 300.0
"""The server ends a watch after this time at least (client-go: five to ten minutes); the client adds the jitter."""
MAX_LINE_BYTES = 8 * 1024 * 1024
"""An object is at most 1.5 MiB in the store; a longer line is a server gone wrong, not an event."""


class WatchEvent(msgspec.Struct, Generic[T]):
    """ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark's object holds nothing but the resourceVersion."""

    type: str
    object: T


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_status = msgspec.json.Decoder(Status).decode


class LineSplitter:
    """Bytes in any portions → whole lines (sans-IO)."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        first, *rest = data.split(b"\n")
        self._keep(first)
        for part in rest:
            line = b"".join(self._parts)
            self._parts, self._size = [], 0
            if line.strip():
                yield line
            self._keep(part)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_bytes:
            raise ValueError(f"a watch line is longer than {self._max_bytes} bytes")
        if part:
            self._parts.append(part)


def jittered_timeout_s(timeout_s: float, rng: random.Random) -> float:
    """Between the given time and its double, so that the watches of a process do not all end together."""
    return timeout_s * (1 + rng.random())


async def watch_events(
    streams: Streams, kind: type[T], path: str, params: Mapping[str, str]
) -> AsyncGenerator[WatchEvent[T], None]:
    """The events of one watch request, until the server ends it."""
    info = SCHEME.by_struct(kind)
    decode_object = msgspec.json.Decoder(kind).decode
    splitter = LineSplitter()
    async with streams.open(path, params=params, headers={"Accept": "application/json"}) as stream:
        async for chunk in stream:
            for line in splitter.feed(chunk):
                event = _decode_line(line)
                if event.type == "ERROR":
                    raise ApiError.from_status(_decode_status(event.object))
                obj = decode_object(event.object)
                obj.kind, obj.api_version = info.kind, info.api_version
                yield WatchEvent(event.type, obj)
