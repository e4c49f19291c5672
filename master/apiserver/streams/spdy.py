"""SPDY/3.1 as kubectl speaks it: frames in and out, without I/O.

Feed bytes, get events; ask for frames, get bytes. Only what Kubernetes' clients use exists: SYN_STREAM, SYN_REPLY,
DATA, PING, RST_STREAM, GOAWAY; no flow control, no priorities, no settings.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FLAG_FIN = 1
VERSION = 3
FRAME_MAX_BYTES = 4 * 1024 * 1024
"""A frame's length has 24 bits; clients send 32 KiB at most."""
HEADERS_MAX_BYTES = 64 * 1024

_HEADER_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin
"""
_COMMON_VALUES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _text(word: bytes) -> bytes:
    return struct.pack("!I", len(word)) + word


DICTIONARY = (
    b"".join(_text(word.replace("_", " ").encode()) for word in _HEADER_WORDS.split()) + _COMMON_VALUES.encode()
)
"""What both sides' compressors know in advance (SPDY/3, section 2.6.10.1): 1,423 bytes."""


class SpdyError(ValueError):
    """Bytes that are no SPDY/3.1."""


class StreamOpened(NamedTuple):
    stream: int
    headers: Mapping[str, str]
    fin: bool


class Data(NamedTuple):
    stream: int
    data: bytes
    fin: bool


class StreamReset(NamedTuple):
    stream: int


class GoingAway(NamedTuple):
    pass


class PingReceived(NamedTuple):
    id: int


Event = StreamOpened | Data | StreamReset | GoingAway | PingReceived


class SpdyConnection:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that these bytes complete. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[5:8], "big")
            if length > FRAME_MAX_BYTES:
                raise SpdyError(f"a frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            head, payload = bytes(self._buffer[:8]), bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            event = self._event(head, payload)
            if event is not None:
                yield event

    def _event(self, head: bytes, payload: bytes) -> Event | None:
        first, second, flags = struct.unpack("!HHB", head[:5])
        fin = bool(flags & FLAG_FIN)
        if not first & 0x8000:
            return Data(first << 16 | second, payload, fin)
        if first & 0x7FFF != VERSION:
            raise SpdyError(f"SPDY version {first & 0x7FFF}")
        if second in (RST_STREAM, PING, SYN_STREAM) and len(payload) < 4:
            raise SpdyError("a control frame that is too short")
        match second:
            case 1:  # SYN_STREAM: stream, associated stream, priority, slot, headers
                stream = _number(payload)
                return StreamOpened(stream, self._headers(payload[10:]), fin)
            case 3:
                return StreamReset(_number(payload))
            case 6:
                return PingReceived(struct.unpack("!I", payload[:4])[0])
            case 7:
                return GoingAway()
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, HEADERS_MAX_BYTES)
            return dict(_pairs(plain))
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"headers: {error}") from error

    def reply(self, stream: int) -> bytes:
        """Accept a stream."""
        block = self._deflate.compress(struct.pack("!I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_REPLY, struct.pack("!I", stream) + block)

    def ping(self, identifier: int) -> bytes:
        """A question, or the answer to the client's: they look the same."""
        return _control(PING, struct.pack("!I", identifier))

    def go_away(self, last_stream: int) -> bytes:
        return _control(GOAWAY, struct.pack("!II", last_stream, 0))

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        head = struct.pack("!IB", stream, FLAG_FIN if fin else 0) + len(data).to_bytes(3, "big")
        return head + data


def _number(payload: bytes) -> int:
    number: int = struct.unpack("!I", payload[:4])[0]
    return number & 0x7FFFFFFF


def _control(kind: int, payload: bytes) -> bytes:
    return struct.pack("!HHB", 0x8000 | VERSION, kind, 0) + len(payload).to_bytes(3, "big") + payload


def _pairs(plain: bytes) -> Iterator[tuple[str, str]]:
    (count,) = struct.unpack_from("!I", plain)
    at = 4
    for _ in range(count):
        words = []
        for _ in range(2):
            (length,) = struct.unpack_from("!I", plain, at)
            words.append(plain[at + 4 : at + 4 + length].decode())
            at += 4 + length
        yield words[0].lower(), words[1]
