"""Length-prefixed frames over a non-blocking socket, plain or TLS, with bounds in both directions.

Frames are queued by `queue` and leave at `flush`, many in one system call. Who sends must look at
`queued_bytes`: beyond a bound the connection is given up.
"""

import enum
import errno
import select
import socket
import ssl
from collections import deque
from typing import Any, Final, Protocol

from raftstore.eventloop import READ, WRITE, EventLoop
from raftstore.frames import LENGTH
from raftstore.protocol import MAX_FRAME_BYTES

_READ_BYTES: Final = 1 << 18
# What one connection may read in a turn, so that no other starves.
_READ_BYTES_PER_TURN: Final = 1 << 20
_WRITE_BYTES: Final = 1 << 20
MAX_QUEUED_BYTES: Final = 64 << 20
# A client that does not read its answers is not read from, until it has taken some of them.
_CHOKED_BYTES: Final = 16 << 20


class StreamHandler(Protocol):
    """Hears of a stream's life."""

    def stream_opened(self, stream: "Stream") -> None: ...
    def frame_received(self, stream: "Stream", frame: bytes) -> None: ...
    def stream_closed(self, stream: "Stream", reason: str) -> None: ...


class _State(enum.Enum):
    CONNECTING = enum.auto()
    HANDSHAKE = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class Stream:
    """One connection."""

    def __init__(
        self,
        loop: EventLoop,
        sock: socket.socket,
        handler: StreamHandler,
        *,
        tls: ssl.SSLContext | None = None,
        server_side: bool = False,
        is_connecting: bool = False,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        choke: bool = False,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._handler = handler
        self._tls = tls
        self._server_side = server_side
        self._max_queued_bytes = max_queued_bytes
        self._choke = choke
        self._inbound = bytearray()
        self._outbound: deque[bytes] = deque()
        self.queued_bytes = 0
        self.opened_at_s = self.heard_at_s = self.sent_at_s = loop.now_s
        self.common_name = ""
        self._state = _State.CONNECTING
        self._events = WRITE
        sock.setblocking(False)
        loop.register(sock.fileno(), self, self._events)
        if not is_connecting:
            self._connected()

    @property
    def is_open(self) -> bool:
        """Whether frames can be exchanged."""
        return self._state is _State.OPEN

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._state is _State.CLOSED

    @property
    def _is_choked(self) -> bool:
        return self._choke and self.queued_bytes > _CHOKED_BYTES

    # --- events

    def ready(self, events: int) -> None:
        """The socket can be read or written."""
        match self._state:
            case _State.CONNECTING:
                error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    self.close(errno.errorcode.get(error, str(error)))
                else:
                    self._connected()
            case _State.HANDSHAKE:
                self._shake_hands()
            case _State.OPEN:
                if events & WRITE:
                    self.flush()
                if events & (READ | select.EPOLLHUP | select.EPOLLERR) and self._state is _State.OPEN:
                    self._read()
            case _State.CLOSED:
                pass

    def _connected(self) -> None:
        if self._tls is None:
            self._open()
            return
        self._loop.unregister(self._socket.fileno())
        self._socket = self._tls.wrap_socket(self._socket, server_side=self._server_side, do_handshake_on_connect=False)
        self._loop.register(self._socket.fileno(), self, self._events)
        self._state = _State.HANDSHAKE
        self._shake_hands()

    def _shake_hands(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(READ)
        except ssl.SSLWantWriteError:
            self._watch(READ | WRITE)
        except OSError as error:
            self.close(f"TLS handshake failed: {error}")
        else:
            self.common_name = _common_name(self._socket)
            self._open()

    def _open(self) -> None:
        self._state = _State.OPEN
        self._watch(READ)
        self._handler.stream_opened(self)
        # Data may already be waiting inside the TLS layer.
        self._loop.again(self)

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._loop.modify(self._socket.fileno(), events)

    # --- receiving

    def _read(self) -> None:
        if self._is_choked:
            self._watch(WRITE)
            return
        received = 0
        try:
            while received < _READ_BYTES_PER_TURN:
                data = self._socket.recv(_READ_BYTES)
                if not data:
                    self._parse()
                    self.close("closed by the other side")
                    return
                self._inbound += data
                received += len(data)
                if self._tls is None and len(data) < _READ_BYTES:
                    break
            else:
                self._loop.again(self)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self.close(str(error))
            return
        self.heard_at_s = self._loop.now_s
        self._parse()

    def _parse(self) -> None:
        inbound = self._inbound
        position, end = 0, len(inbound)
        while end - position >= LENGTH.size and self._state is _State.OPEN:
            (length,) = LENGTH.unpack_from(inbound, position)
            if length > MAX_FRAME_BYTES:
                self.close(f"a frame of {length} bytes is too long")
                return
            start = position + LENGTH.size
            if end - start < length:
                break
            position = start + length
            self._handler.frame_received(self, bytes(memoryview(inbound)[start:position]))
        if position:
            del inbound[:position]

    # --- sending

    def queue(self, payload: bytes) -> None:
        """Add a frame to what the next flush sends."""
        if self._state is _State.CLOSED:
            return
        self._outbound.append(LENGTH.pack(len(payload)))
        self._outbound.append(payload)
        self.queued_bytes += LENGTH.size + len(payload)
        if self.queued_bytes > self._max_queued_bytes:
            self.close("the other side does not read")

    def flush(self) -> None:
        """Send as much as the socket takes; the rest follows when it takes more."""
        if not self._outbound or self._state is not _State.OPEN:
            return
        self.sent_at_s = self._loop.now_s
        try:
            while self._outbound:
                chunk = self._gather()
                sent = self._socket.send(chunk)
                self.queued_bytes -= sent
                if sent < len(chunk):
                    self._outbound.appendleft(chunk[sent:])
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            # The chunk must be offered again as it was: TLS may have begun with it.
            self._outbound.appendleft(chunk)
            self._watch(WRITE if self._is_choked else READ | WRITE)
            return
        except OSError as error:
            self.close(str(error))
            return
        self._watch(READ)

    def _gather(self) -> bytes:
        """Join queued pieces into about one system call's worth."""
        first = self._outbound.popleft()
        size = len(first)
        if size >= _WRITE_BYTES or not self._outbound:
            return first
        pieces = [first]
        while self._outbound and size < _WRITE_BYTES:
            piece = self._outbound.popleft()
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def close(self, reason: str) -> None:
        """End the connection; its handler hears why."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._loop.unregister(self._socket.fileno())
        self._socket.close()
        self._outbound.clear()
        self.queued_bytes = 0
        self._handler.stream_closed(self, reason)


def _common_name(sock: ssl.SSLSocket) -> str:
    subject: Any = (sock.getpeercert() or {}).get("subject", ())
    names = [value for part in subject for field, value in part if field == "commonName"]
    return str(names[0]) if len(names) == 1 else ""


class Listener:
    """Accepts connections."""

    def __init__(self, loop: EventLoop, sock: socket.socket, acceptor: "Acceptor") -> None:
        self._loop = loop
        self._socket = sock
        self._acceptor = acceptor
        sock.setblocking(False)
        loop.register(sock.fileno(), self, READ)

    def ready(self, events: int) -> None:
        """Connections are waiting."""
        try:
            while True:
                connection, _ = self._socket.accept()
                self._acceptor.accepted(connection)
        except BlockingIOError:
            pass
        except OSError as error:
            # Out of descriptors, or the caller has gone again: those that wait are tried in the next turn.
            if error.errno not in (errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.EPERM):
                raise

    def close(self) -> None:
        """Accept no more."""
        self._loop.unregister(self._socket.fileno())
        self._socket.close()


class Acceptor(Protocol):
    """Takes accepted sockets."""

    def accepted(self, sock: socket.socket) -> None: ...
