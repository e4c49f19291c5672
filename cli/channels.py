"""The channel protocol of exec and attach (v5.channel.k8s.io, CLIENT-CONTRACT 13.1), without any I/O.

A message is one byte of channel and then data. v5 adds channel 255, which closes another one: without it a program
that reads its input to the end would wait for ever.
"""

import json
from enum import IntEnum

import msgspec

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CLOSING_PROTOCOL = "v5.channel.k8s.io"


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255


class Outcome(msgspec.Struct, frozen=True):
    """How the command ended: its exit code, or why it could not be run."""

    exit_code: int
    message: str = ""


def encode(channel: Channel, data: bytes) -> bytes:
    return bytes([channel]) + data


def decode(message: bytes) -> tuple[int, bytes]:
    return (message[0], message[1:]) if message else (Channel.STDOUT, b"")


def close_stdin() -> bytes:
    return encode(Channel.CLOSE, bytes([Channel.STDIN]))


def resize(columns: int, rows: int) -> bytes:
    return encode(Channel.RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())


def outcome(data: bytes) -> Outcome:
    """The Status on the error channel."""
    try:
        status = json.loads(data)
    except ValueError:
        return Outcome(1, data.decode(errors="replace"))
    if status.get("status") == "Success":
        return Outcome(0)
    message = status.get("message", "")
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdigit():
            return Outcome(int(cause["message"]), message)
    return Outcome(1, message)
