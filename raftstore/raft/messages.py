"""What members say to each other. Each answer repeats the term, sequence or round that it answers.

An answer that outlives its question (a reconnect, a new leader, a restart) must never be taken for another's:
that is what the sequences, the rounds and the randomly started request numbers are for.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

Entry = tuple[bytes, int, int]
"""A log entry as PySyncObj's journals hold it: command (first byte: its type), index, term."""


class Hello(Struct, frozen=True, array_like=True, tag=0):
    """The first frame of a connection: who calls, and in which version of this protocol."""

    name: str
    version: int


class Ping(Struct, frozen=True, array_like=True, tag=1):
    """Keeps an otherwise silent connection known to be alive."""


class RequestVote(Struct, frozen=True, array_like=True, tag=2):
    """May I lead? `pre`: only a question, it binds nobody. `transfer`: the leader itself asked me to."""

    term: int
    last_index: int
    last_term: int
    pre: bool = False
    transfer: bool = False


class VoteReply(Struct, frozen=True, array_like=True, tag=3):
    """A vote; a refusal carries the voter's own term, a grant the term asked for."""

    term: int
    pre: bool
    granted: bool


class AppendEntries(Struct, frozen=True, array_like=True, tag=4):
    """Entries to follow `previous_index`; `entries` is an encoded list of `Entry`, the same bytes to everyone."""

    term: int
    previous_index: int
    previous_term: int
    entries: Raw
    commit_index: int
    round: int
    sequence: int
    size_bytes: int
    wants_reply: bool = True


class AppendReply(Struct, frozen=True, array_like=True, tag=5):
    """On success `next_index` is one after the last entry verified; otherwise `hint` is where to try before."""

    term: int
    success: bool
    next_index: int
    hint: int
    round: int
    sequence: int
    size_bytes: int


class SnapshotChunk(Struct, frozen=True, array_like=True, tag=6):
    """A piece of the leader's snapshot file."""

    term: int
    snapshot_id: str
    index: int
    offset: int
    total_bytes: int
    data: bytes
    round: int


class SnapshotReply(Struct, frozen=True, array_like=True, tag=7):
    """How far the file has come; once it is installed, `index` is what the follower holds."""

    term: int
    snapshot_id: str
    offset: int
    done: bool
    index: int
    round: int


class TimeoutNow(Struct, frozen=True, array_like=True, tag=8):
    """The leader asks a follower that has everything to take over at once."""

    term: int


class ReadIndex(Struct, frozen=True, array_like=True, tag=9):
    """A follower asks up to which index a linearizable read must see."""

    request_id: int


class ReadIndexReply(Struct, frozen=True, array_like=True, tag=10):
    """That index, or 0 from a member that cannot say."""

    request_id: int
    index: int


class Forward(Struct, frozen=True, array_like=True, tag=11):
    """A client's frame on its way to the leader."""

    forward_id: int
    frame: bytes


class ForwardReply(Struct, frozen=True, array_like=True, tag=12):
    """The frame that answers it."""

    forward_id: int
    frame: bytes


RaftMessage = (
    RequestVote
    | VoteReply
    | AppendEntries
    | AppendReply
    | SnapshotChunk
    | SnapshotReply
    | TimeoutNow
    | ReadIndex
    | ReadIndexReply
)
PeerMessage = Hello | Ping | RaftMessage | Forward | ForwardReply

PEER_PROTOCOL_VERSION: Final = 1
ENCODER: Final = msgspec.msgpack.Encoder()
DECODER: Final[msgspec.msgpack.Decoder[PeerMessage]] = msgspec.msgpack.Decoder(PeerMessage)
ENTRIES_DECODER: Final = msgspec.msgpack.Decoder(list[Entry])
NO_ENTRIES: Final = Raw(ENCODER.encode([]))
