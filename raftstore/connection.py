"""One connection of a client to a member: frames out, answers in, matched by number."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import msgspec
from msgspec import Raw

from raftstore.errors import (
    Compacted,
    Fenced,
    FutureRevision,
    InvalidArgument,
    OutcomeUnknown,
    TooLarge,
    Unavailable,
)
from raftstore.frames import LENGTH, Events, Failure, MemberFrame, Reply
from raftstore.protocol import MAX_FRAME_BYTES

_DECODER: Final[msgspec.msgpack.Decoder[MemberFrame]] = msgspec.msgpack.Decoder(MemberFrame)
# A fragment of a watch and a page of a range stay well below the frame limit; this bounds what a watch buffers.
_MAX_BUFFERED_EVENTS: Final = 32
_RESUME_EVENTS: Final = 8


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


class SessionExpired(Exception):
    """The member does not know the session of a command; the command was not applied now."""


class Connection(asyncio.Protocol):
    """Requests and answers over one Unix socket; one watch at most, and then nothing else."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._inbound = bytearray()
        self._answers: dict[int, asyncio.Future[Raw]] = {}
        self._outbound: list[bytes] = []
        self._next_id = 0
        self._events: asyncio.Queue[Events | Failure | None] = asyncio.Queue()
        self._reading = True
        self._lost = False

    @property
    def is_lost(self) -> bool:
        """Whether it is of no more use."""
        return self._lost

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: nobody will be answered any more."""
        self._lost = True
        answers, self._answers = self._answers, {}
        for future in answers.values():
            if not future.done():
                future.set_exception(ConnectionLost(str(exc or "closed by the member")))
        self._events.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        """Cut what has come into frames."""
        inbound = self._inbound
        inbound += data
        position, end = 0, len(inbound)
        while end - position >= LENGTH.size:
            (length,) = LENGTH.unpack_from(inbound, position)
            if length > MAX_FRAME_BYTES:
                self.close()
                return
            start = position + LENGTH.size
            if end - start < length:
                break
            position = start + length
            self._frame_received(bytes(memoryview(inbound)[start:position]))
        if position:
            del inbound[:position]

    def _frame_received(self, data: bytes) -> None:
        frame = _DECODER.decode(data)
        future = self._answers.pop(frame.request_id, None)
        if future is None:
            if isinstance(frame, Events | Failure):
                self._watch_received(frame)
        elif not future.done():
            if isinstance(frame, Reply):
                future.set_result(frame.result)
            else:
                assert isinstance(frame, Failure)
                future.set_exception(as_exception(frame))

    def _watch_received(self, frame: Events | Failure) -> None:
        self._events.put_nowait(frame)
        if self._reading and self._events.qsize() >= _MAX_BUFFERED_EVENTS and self._transport is not None:
            # The consumer is slow: let the member's own buffer fill, so that the watch waits there.
            self._reading = False
            self._transport.pause_reading()

    # --- the client's side

    def request(self, encode: Callable[[int], bytes]) -> asyncio.Future[Raw]:
        """Send a request; its number is given to `encode`. Requests of one turn of the loop leave together."""
        future: asyncio.Future[Raw] = self._loop.create_future()
        if self._lost:
            future.set_exception(ConnectionLost("the connection is closed"))
            return future
        self._next_id += 1
        self._answers[self._next_id] = future
        self._send(encode(self._next_id))
        return future

    def start(self, encode: Callable[[int], bytes]) -> None:
        """Send a request that is answered by a stream; see `next_event`."""
        self._next_id += 1
        self._send(encode(self._next_id))

    async def next_event(self) -> Events | Failure | None:
        """The next piece of the stream; None at its end."""
        event = await self._events.get()
        if not self._reading and self._events.qsize() <= _RESUME_EVENTS and not self._lost:
            assert self._transport is not None
            self._reading = True
            self._transport.resume_reading()
        return event

    def _send(self, payload: bytes) -> None:
        if not self._outbound:
            self._loop.call_soon(self._flush)
        self._outbound.append(LENGTH.pack(len(payload)))
        self._outbound.append(payload)

    def _flush(self) -> None:
        outbound, self._outbound = self._outbound, []
        if self._transport is not None and not self._lost:
            self._transport.write(b"".join(outbound))

    def forget(self, future: asyncio.Future[Raw]) -> None:
        """Nobody waits for this answer any more."""
        for request_id, waiting in self._answers.items():
            if waiting is future:
                del self._answers[request_id]
                return

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()  # not close(): that would first wait for a hung member to take in what is unsent


def as_exception(frame: Failure) -> Exception:
    """A member's failure as the exception a caller sees."""
    match frame.code:
        case "unavailable":
            return Unavailable(frame.message)
        case "unknown":
            return OutcomeUnknown(frame.message)
        case "compacted":
            return Compacted(frame.detail)
        case "future":
            return FutureRevision(frame.message)
        case "fenced":
            return Fenced(frame.message)
        case "too-large":
            return TooLarge(frame.message)
        case "invalid":
            return InvalidArgument(frame.message)
        case "session-expired":
            return SessionExpired(frame.message)
