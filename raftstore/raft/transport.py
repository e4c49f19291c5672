"""PySyncObj's transport over our streams: framed msgpack, mutual TLS, one connection a pair of members.

The member whose name is greater calls the other. A connection counts once its first frame, `Hello`, has named a
known member, and with TLS the certificate must carry that very name. What must not overtake the disk (votes,
acknowledgements) waits in `_after_sync` for the journal; entries and snapshots go out before it, so that the
followers' disks work while ours does.
"""

import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from raftstore.config import Address, PeerTls
from raftstore.errors import FatalStoreError
from raftstore.eventloop import EventLoop
from raftstore.raft.messages import (
    DECODER,
    ENCODER,
    PEER_PROTOCOL_VERSION,
    AppendEntries,
    Forward,
    ForwardReply,
    Hello,
    PeerMessage,
    Ping,
    ReadIndex,
    SnapshotChunk,
)
from raftstore.raft.seams import Journal, PeerNode
from raftstore.stream import Listener, Stream

logger = logging.getLogger("raftstore.transport")

_REDIAL_S: Final = 0.2
_OPEN_TIMEOUT_S: Final = 2.0
_PING_S: Final = 1.0
SILENCE_S: Final = 3.5
"""A connection from which nothing has come for so long is dead (PySyncObj's connectionTimeout)."""
_MAX_UNNAMED: Final = 64
_BACKLOG: Final = 64

# These promise nothing about our own disk and may leave before it is synced.
_BEFORE_SYNC: Final = (AppendEntries, SnapshotChunk, ReadIndex, Forward, ForwardReply, Ping)

ForwardHandler = Callable[[str, Forward | ForwardReply], None]


class PeerTransport(Transport):  # type: ignore[misc]  # PySyncObj has no types
    """Connections to every other member."""

    def __init__(
        self,
        loop: EventLoop,
        name: str,
        addresses: Mapping[str, Address],
        tls: PeerTls | None,
        journal: Journal,
    ) -> None:
        super().__init__(None, None, [])
        self._loop = loop
        self._name = name
        self._addresses = dict(addresses)
        self._journal = journal
        self._nodes = {peer: PeerNode(peer) for peer in addresses if peer != name}
        self._streams: dict[str, Stream] = {}
        self._names: dict[Stream, str] = {}
        self._dialing: dict[str, Stream] = {}
        self._dial_at_s: dict[str, float] = {}
        self._dial_failure: dict[str, str] = {}
        self._unnamed: set[Stream] = set()
        self._after_sync: list[tuple[str, PeerMessage]] = []
        self._dirty: set[Stream] = set()
        self._server_tls = _tls_context(tls, server_side=True) if tls is not None else None
        self._client_tls = _tls_context(tls, server_side=False) if tls is not None else None
        self.on_forward: ForwardHandler = lambda peer, message: None
        self.on_peer_lost: Callable[[str], None] = lambda peer: None
        self._listener = Listener(loop, _listen(addresses[name]), self) if self._nodes else None

    def _destroy(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for stream in [*self._streams.values(), *self._dialing.values(), *self._unnamed]:
            stream.close("this member stops")

    # --- sending

    def send(self, node: Node, message: PeerMessage) -> bool:
        """Queue a message for the end of the tick; False when there is no connection, and it is lost."""
        return self.send_to(node.id, message)

    def send_to(self, name: str, message: PeerMessage) -> bool:
        """The same by name."""
        stream = self._streams.get(name)
        if stream is None:
            return False
        if isinstance(message, _BEFORE_SYNC):
            stream.queue(ENCODER.encode(message))
            self._dirty.add(stream)
        else:
            self._after_sync.append((name, message))
        return True

    def flush(self) -> None:
        """End of the tick: send what may go, sync the journal, send what had to wait for it."""
        self._flush_dirty()
        self._journal.sync()
        waiting, self._after_sync = self._after_sync, []
        for name, message in waiting:
            stream = self._streams.get(name)
            if stream is not None:
                stream.queue(ENCODER.encode(message))
                self._dirty.add(stream)
        self._flush_dirty()

    def _flush_dirty(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for stream in dirty:
            stream.flush()

    # --- connecting

    def maintain(self) -> None:
        """Call those who are not connected, give up those who are silent, say something to the rest."""
        now = self._loop.now_s
        for name in self._nodes:
            wanted = name < self._name and name not in self._streams and name not in self._dialing
            if wanted and self._dial_at_s.get(name, 0.0) <= now:
                self._dial(name)
        for stream in [*self._dialing.values(), *self._unnamed]:
            if now - stream.opened_at_s > _OPEN_TIMEOUT_S:
                stream.close("no greeting in time")
        for stream in list(self._streams.values()):
            if now - stream.heard_at_s > SILENCE_S:
                stream.close(f"silent for {SILENCE_S} s")
            elif now - stream.sent_at_s > _PING_S:
                stream.queue(ENCODER.encode(Ping()))
                stream.flush()

    def _dial(self, name: str) -> None:
        self._dial_at_s[name] = self._loop.now_s + _REDIAL_S
        address = self._addresses[name]
        sock = socket.socket(_family(address), socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(address)
        except BlockingIOError:
            pass
        except OSError:
            sock.close()
            return
        stream = Stream(self._loop, sock, self, tls=self._client_tls, is_connecting=True)
        self._dialing[name] = stream

    def accepted(self, sock: socket.socket) -> None:
        """Another member calls."""
        if len(self._unnamed) >= _MAX_UNNAMED:
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = Stream(self._loop, sock, self, tls=self._server_tls, server_side=True)
        if not stream.is_closed:
            self._unnamed.add(stream)

    def stream_opened(self, stream: Stream) -> None:
        """A connection stands: as the caller, greet and make sure that the right member has answered."""
        name = next((name for name, dialed in self._dialing.items() if dialed is stream), None)
        if name is None:
            return
        if self._client_tls is not None and stream.common_name != name:
            stream.close(f"the certificate is of {stream.common_name!r}, not of {name!r}")
            return
        stream.queue(ENCODER.encode(Hello(self._name, PEER_PROTOCOL_VERSION)))
        stream.flush()
        del self._dialing[name]
        self._bind(name, stream)

    def _greeted(self, stream: Stream, hello: Hello) -> None:
        if hello.name not in self._nodes:
            stream.close(f"{hello.name!r} is not a member")
        elif hello.version != PEER_PROTOCOL_VERSION:
            stream.close(f"{hello.name} speaks version {hello.version}")
        elif self._server_tls is not None and stream.common_name != hello.name:
            stream.close(f"the certificate is of {stream.common_name!r}, not of {hello.name!r}")
        else:
            self._unnamed.discard(stream)
            self._bind(hello.name, stream)

    def _bind(self, name: str, stream: Stream) -> None:
        former = self._streams.get(name)
        if former is not None:
            former.close("replaced by a newer connection")
        self._dial_failure.pop(name, None)
        self._streams[name] = stream
        self._names[stream] = name
        logger.info("connected with %s", name)
        self._onNodeConnected(self._nodes[name])

    def stream_closed(self, stream: Stream, reason: str) -> None:
        """A connection has ended, or never came about."""
        self._dirty.discard(stream)
        if stream in self._unnamed:
            self._unnamed.discard(stream)
            logger.info("refused a connection: %s", reason)
        for dialed in [name for name, dialing in self._dialing.items() if dialing is stream]:
            del self._dialing[dialed]
            if self._dial_failure.get(dialed) != reason:  # told once, not at every attempt
                self._dial_failure[dialed] = reason
                logger.info("no connection to %s: %s", dialed, reason)
        name = self._names.pop(stream, None)
        if name is not None and self._streams.get(name) is stream:
            del self._streams[name]
            logger.info("connection with %s ended: %s", name, reason)
            self._onNodeDisconnected(self._nodes[name])
            self.on_peer_lost(name)

    # --- receiving

    def frame_received(self, stream: Stream, frame: bytes) -> None:
        """A message, or a first frame that says who calls."""
        try:
            message = DECODER.decode(frame)
        except msgspec.DecodeError as error:
            stream.close(f"a frame that makes no sense: {error}")
            return
        name = self._names.get(stream)
        if isinstance(message, Hello):
            if name is None:
                self._greeted(stream, message)
        elif name is None:
            stream.close("no greeting")
        elif isinstance(message, Forward | ForwardReply):
            self.on_forward(name, message)
        elif not isinstance(message, Ping):
            self._onMessageReceived(self._nodes[name], message)


def _family(address: Address) -> socket.AddressFamily:
    try:
        version = ipaddress.ip_address(address.host).version
    except ValueError:
        return socket.AF_INET
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def _listen(address: Address) -> socket.socket:
    sock = socket.socket(_family(address), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise FatalStoreError(f"listening on {address.host}:{address.port} failed: {error}") from error
    return sock


def _tls_context(tls: PeerTls, *, server_side: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The name that counts is the member's, not the host's; it is compared once the certificate is verified.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
        context.load_verify_locations(tls.ca_file)
    except OSError as error:
        raise FatalStoreError(f"loading the certificates for other members failed: {error}") from error
    return context
