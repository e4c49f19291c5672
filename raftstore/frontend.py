"""The client socket: decodes requests, sends each where it belongs, and carries the answers back."""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw

from raftstore.answers import Answer, error_frame, failure, reply
from raftstore.errors import FatalStoreError, StoreError, TooLarge
from raftstore.eventloop import EventLoop
from raftstore.forwarding import Forwarding
from raftstore.frames import AskStatus, ClientFrame, Keepalive, Read, StartWatch, Write
from raftstore.housekeeping import Housekeeping
from raftstore.proposals import Proposals
from raftstore.protocol import MAX_REQUEST_BYTES, Done, Proposal, StoreStatus
from raftstore.queries import Queries
from raftstore.raft.core import RaftCore
from raftstore.raft.messages import Forward, ForwardReply, PeerMessage
from raftstore.state import StateMachine, check_command
from raftstore.stream import Listener, Stream
from raftstore.watch import WatchHub

logger = logging.getLogger("raftstore.frontend")

MAX_CLIENTS: Final = 512
# Answers are choked and watches wait long before this; only one revision of very many events comes near it.
_MAX_QUEUED_BYTES: Final = 512 << 20
_BACKLOG: Final = 128

_FRAMES: Final[msgspec.msgpack.Decoder[ClientFrame]] = msgspec.msgpack.Decoder(ClientFrame)
_PROPOSALS: Final = msgspec.msgpack.Decoder(Proposal)


class Frontend:
    """Every client connection of this member."""

    def __init__(
        self,
        loop: EventLoop,
        core: RaftCore,
        machine: StateMachine,
        housekeeping: Housekeeping,
        forwarding: Forwarding,
        *,
        send: Callable[[str, PeerMessage], bool],
        status: Callable[[], StoreStatus],
    ) -> None:
        self._loop = loop
        self._core = core
        self._housekeeping = housekeeping
        self._forwarding = forwarding
        self._send = send
        self._status = status
        self.proposals = Proposals(core)
        self.queries = Queries(core, machine)
        self.watches = WatchHub(machine.space)
        self._streams: set[Stream] = set()
        self._dirty: set[Stream] = set()
        self._listener: Listener | None = None

    # --- connections

    def listen(self, path: Path) -> None:
        """Open the client socket, for this user only."""
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous_mask = os.umask(0o177)
        try:
            sock.bind(str(path))
            sock.listen(_BACKLOG)
        except OSError as error:
            raise FatalStoreError(f"opening the client socket {path} failed: {error}") from error
        finally:
            os.umask(previous_mask)
        self._listener = Listener(self._loop, sock, self)

    def close(self) -> None:
        """Accept nobody any more and let everybody go."""
        if self._listener is not None:
            self._listener.close()
        for stream in list(self._streams):
            stream.flush()
            stream.close("this member stops")

    def accepted(self, sock: socket.socket) -> None:
        """A client connects."""
        if len(self._streams) >= MAX_CLIENTS:
            sock.close()
            return
        stream = Stream(self._loop, sock, self, max_queued_bytes=_MAX_QUEUED_BYTES, choke=True)
        self._streams.add(stream)

    def stream_opened(self, stream: Stream) -> None:
        """Nothing to say until the client asks."""

    def stream_closed(self, stream: Stream, reason: str) -> None:
        """A client has gone."""
        self._streams.discard(stream)
        self._dirty.discard(stream)
        self.watches.remove(stream)

    def flush(self) -> None:
        """Send what has been answered since the last flush."""
        dirty, self._dirty = self._dirty, set()
        for stream in dirty | self.watches.take_touched():
            stream.flush()

    # --- requests

    def frame_received(self, stream: Stream, frame: bytes) -> None:
        """A client asks."""

        def answer(data: bytes) -> None:
            stream.queue(data)
            self._dirty.add(stream)

        try:
            request = _FRAMES.decode(frame)
        except msgspec.DecodeError as error:
            stream.close(f"a frame that makes no sense: {error}")
            return
        match request:
            case Write() | Keepalive():
                if self._core.is_leader:
                    self._lead(request, len(frame), answer)
                else:
                    self._forwarding.forward(self._core.leader_name, request.request_id, frame, answer)
            case Read(request_id, query, linearizable):
                self.queries.submit(request_id, query, linearizable=linearizable, answer=answer)
            case StartWatch():
                self.watches.add(stream, request, self._loop.now_s)
            case AskStatus(request_id):
                answer(reply(request_id, self._status()))

    def _lead(self, request: Write | Keepalive, size_bytes: int, answer: Answer) -> None:
        if isinstance(request, Write):
            self._write(request, size_bytes, answer)
        else:
            self._keep_alive(request, answer)

    def _write(self, request: Write, size_bytes: int, answer: Answer) -> None:
        try:
            if size_bytes > MAX_REQUEST_BYTES:
                raise TooLarge(f"a request of {size_bytes} bytes; at most {MAX_REQUEST_BYTES} are allowed")
            check_command(_PROPOSALS.decode(request.proposal).command)
        except msgspec.DecodeError as error:
            answer(failure(request.request_id, "invalid", f"a proposal that makes no sense: {error}"))
        except StoreError as error:
            answer(error_frame(request.request_id, error))
        else:
            self.proposals.add(request.request_id, request.proposal, size_bytes, answer)

    def propose(self, proposal: Proposal) -> None:
        """Propose a command of the member's own."""
        data = msgspec.msgpack.encode(proposal)
        self.proposals.add(0, Raw(data), len(data), _ignore)

    def _keep_alive(self, request: Keepalive, answer: Answer) -> None:
        # Behind a barrier: a leader that has been replaced unawares must not promise anything.
        def after_barrier(passed: bool) -> None:
            if not passed or not self._core.is_leader:
                answer(failure(request.request_id, "unavailable", "this member no longer leads"))
            elif self._housekeeping.renew_lease(request.lease, self._loop.now_s):
                answer(reply(request.request_id, Done(self._core.raftLastApplied)))
            else:
                answer(failure(request.request_id, "invalid", f"lease {request.lease} does not exist"))

        if not self.queries.after_barrier(after_barrier):
            answer(failure(request.request_id, "unavailable", "too many requests are waiting"))

    # --- other members' clients

    def peer_message(self, peer: str, message: Forward | ForwardReply) -> None:
        """A forwarded request, or the answer to one of ours."""
        if isinstance(message, ForwardReply):
            self._forwarding.answered(peer, message)
            return
        forward_id = message.forward_id

        def answer(data: bytes) -> None:
            self._send(peer, ForwardReply(forward_id, data))

        try:
            request = _FRAMES.decode(message.frame)
        except msgspec.DecodeError as error:
            logger.warning("%s forwarded a frame that makes no sense: %s", peer, error)
            return
        if not isinstance(request, Write | Keepalive):
            return
        if self._core.is_leader:
            self._lead(request, len(message.frame), answer)
        else:
            answer(failure(request.request_id, "unavailable", "the leader has just changed"))


def _ignore(data: bytes) -> None:
    """The member's own proposals need no answer."""
