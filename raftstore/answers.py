"""Where an answer goes: to a client of this member, or through another member to a client of that one."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from raftstore.errors import Compacted, FutureRevision, InvalidArgument, StoreError, TooLarge
from raftstore.frames import Failure, Reply
from raftstore.protocol import ErrorCode, Refused, Result

Answer = Callable[[bytes], None]
"""Takes the one encoded frame that answers a request."""

_ENCODER: Final = msgspec.msgpack.Encoder()


def reply(request_id: int, result: object) -> bytes:
    """A successful answer."""
    return _ENCODER.encode(Reply(request_id, Raw(_ENCODER.encode(result))))


def result_frame(request_id: int, result: Result) -> bytes:
    """The answer to a command that was applied, or refused by the state machine."""
    if isinstance(result, Refused):
        return failure(request_id, result.code, result.message, result.detail)
    return reply(request_id, result)


def failure(request_id: int, code: ErrorCode, message: str, detail: int = 0) -> bytes:
    """An answer that tells what went wrong."""
    return _ENCODER.encode(Failure(request_id, code, message, detail))


def error_frame(request_id: int, error: StoreError) -> bytes:
    """A refusal as a frame."""
    match error:
        case Compacted(compact_revision=revision):
            return failure(request_id, "compacted", str(error), revision)
        case FutureRevision():
            return failure(request_id, "future", str(error))
        case TooLarge():
            return failure(request_id, "too-large", str(error))
        case InvalidArgument():
            return failure(request_id, "invalid", str(error))
        case _:
            return failure(request_id, "unavailable", str(error))
