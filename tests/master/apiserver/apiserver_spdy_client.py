"""The client's side of SPDY/3.1, as far as kubectl uses it."""

import struct
import zlib

from master.apiserver.streams.spdy import DICTIONARY


class SpdyClient:
    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._next = 1
        self._buffer = b""

    def open(self, kind: str) -> bytes:
        stream, self._next = self._next, self._next + 2
        words = b"".join(struct.pack("!I", len(word)) + word for word in (b"streamtype", kind.encode()))
        block = self._deflate.compress(struct.pack("!I", 1) + words) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return self._control(1, struct.pack("!IIBB", stream, 0, 0, 0) + block)

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        return struct.pack("!IB", stream, int(fin)) + len(data).to_bytes(3, "big") + data

    def ping(self, identifier: int) -> bytes:
        return self._control(6, struct.pack("!I", identifier))

    def reset(self, stream: int) -> bytes:
        return self._control(3, struct.pack("!II", stream, 5))

    def go_away(self) -> bytes:
        return self._control(7, struct.pack("!II", 0, 0))

    def _control(self, kind: int, payload: bytes) -> bytes:
        return struct.pack("!HHB", 0x8003, kind, 0) + len(payload).to_bytes(3, "big") + payload

    def parse(self, data: bytes) -> list[tuple[str, int, bytes, bool]]:
        """(kind, stream, data, fin) of the frames that are complete."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[5:8], "big")
            if len(self._buffer) < 8 + length:
                break
            head, payload = self._buffer[:8], self._buffer[8 : 8 + length]
            self._buffer = self._buffer[8 + length :]
            fin = bool(head[4] & 1)
            if not head[0] & 0x80:
                frames.append(("data", struct.unpack("!I", head[:4])[0], payload, fin))
            elif head[3] == 2:
                assert self._inflate.decompress(payload[4:]) == struct.pack("!I", 0)
                frames.append(("reply", struct.unpack("!I", payload[:4])[0], b"", fin))
        return frames
