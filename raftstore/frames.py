"""The envelopes on a member's client socket: what is asked, and what comes back.

A frame is a little-endian 32-bit length and one msgpack array. Requests carry a number chosen by the client;
answers repeat it, in any order. Watches answer with `Events` until the connection ends.
"""

import struct
from typing import Final

import msgspec
from msgspec import Raw, Struct

from raftstore.protocol import ErrorCode, Query

LENGTH: Final = struct.Struct("<I")


class Write(Struct, frozen=True, array_like=True, tag="w"):
    """Propose a command; `proposal` is an encoded `Proposal`, forwarded and logged as it is."""

    request_id: int
    proposal: Raw


class Read(Struct, frozen=True, array_like=True, tag="r"):
    """Ask for state; not linearizable means this member's own, possibly old, state."""

    request_id: int
    query: Query
    linearizable: bool


class Keepalive(Struct, frozen=True, array_like=True, tag="k"):
    """Start a lease's time anew."""

    request_id: int
    lease: int


class StartWatch(Struct, frozen=True, array_like=True, tag="s"):
    """Stream every event under a prefix from a revision on (0: from the next one)."""

    request_id: int
    prefix: str
    start_revision: int
    with_previous: bool = True


class AskStatus(Struct, frozen=True, array_like=True, tag="t"):
    """Ask this member how it fares."""

    request_id: int


ClientFrame = Write | Read | Keepalive | StartWatch | AskStatus


class Reply(Struct, frozen=True, array_like=True, tag="ok"):
    """Success; the type of `result` follows from the request."""

    request_id: int
    result: Raw


class Failure(Struct, frozen=True, array_like=True, tag="err"):
    """Refusal or failure; `detail` is the compact revision for code "compacted"."""

    request_id: int
    code: ErrorCode
    message: str
    detail: int = 0


class Events(Struct, frozen=True, array_like=True, tag="ev"):
    """A piece of a watch; `more` means that further events up to the same revision follow."""

    request_id: int
    revision: int
    events: Raw
    more: bool = False


MemberFrame = Reply | Failure | Events

ENCODER: Final = msgspec.msgpack.Encoder()


def framed(payload: bytes) -> bytes:
    """The payload with its length before it."""
    return LENGTH.pack(len(payload)) + payload
