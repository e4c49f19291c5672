"""The one gRPC call a kubelet makes: grpc.health.v1.Health/Check, over plain HTTP/2.

Only what that call needs of HTTP/2: preface, SETTINGS, one request, and the frames of its answer. Headers are sent as
literals and the answer's are not read: a message whose status is SERVING is the only success there is.
"""

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
SERVING = b"\x08\x01"
MAX_FRAMES = 64
MAX_FRAME_BYTES = 64 * 1024


async def check_health(host: str, port: int, service: str) -> bool:
    """Whether the server answers SERVING; raises OSError when it does not answer at all."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + request_frames(f"{host}:{port}", service))
        await writer.drain()
        return await _answer(reader, writer)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the server closed the connection") from error
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    message = b""
    for _ in range(MAX_FRAMES):
        kind, flags, stream, payload = await _read_frame(reader)
        if kind == SETTINGS and not flags & ACK:
            writer.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(frame(PING, ACK, 0, payload))
        elif kind in (GOAWAY, RST_STREAM):
            return False
        elif stream == 1 and kind == DATA:
            message += payload
        if stream == 1 and kind in (DATA, HEADERS) and flags & END_STREAM:
            break
        if len(message) > MAX_FRAME_BYTES:
            return False
    return message[5:].startswith(SERVING)


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    head = await reader.readexactly(9)
    length = int.from_bytes(head[:3], "big")
    if length > MAX_FRAME_BYTES:
        raise ConnectionError("the answer is no HTTP/2")
    kind, flags, stream = struct.unpack(">BBI", head[3:])
    return kind, flags, stream & 0x7FFFFFFF, await reader.readexactly(length)


def request_frames(authority: str, service: str) -> bytes:
    """HEADERS and DATA of the request on stream 1."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": "kube-probe/1.36",
    }
    block = b"".join(b"\x00" + _string(name) + _string(value) for name, value in headers.items())
    body = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    message = b"\x00" + struct.pack(">I", len(body)) + body
    return frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, message)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _string(text: str) -> bytes:
    """A literal of at most 126 bytes, not Huffman-coded."""
    data = text.encode()
    if len(data) > 126:
        raise ValueError(f"too long for a header of this client: {text[:40]}…")
    return bytes([len(data)]) + data
