"""The framing of exec, attach and port-forward over WebSocket: v4 and v5 of channel.k8s.io. Pure.

Each binary message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 error (a Status), 4 resize; v5 adds 255, by
which a client closes a channel.
"""

import msgspec

from master.api.meta import ListMeta, Status, StatusCause, StatusDetails

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
PROTOCOLS = (V5, V4)
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


class Resize(msgspec.Struct, frozen=True):
    width: int = msgspec.field(name="Width")
    height: int = msgspec.field(name="Height")


class StdinData(msgspec.Struct, frozen=True):
    data: bytes


class StdinClosed(msgspec.Struct, frozen=True):
    pass


Incoming = Resize | StdinData | StdinClosed
_decode_resize = msgspec.json.Decoder(Resize).decode


def parse_message(message: bytes) -> Incoming | None:
    """What a client says; None for what means nothing here."""
    if not message:
        return None
    channel, data = message[0], message[1:]
    if channel == STDIN:
        return StdinData(data) if data else None
    if channel == RESIZE:
        try:
            return _decode_resize(data)
        except msgspec.MsgspecError:
            return None
    if channel == CLOSE and data == bytes([STDIN]):
        return StdinClosed()
    return None


def first_channel(stdout: bool, stderr: bool) -> int:
    """The lowest channel the server may write on; an empty message on it opens the conversation."""
    return STDOUT if stdout else STDERR if stderr else ERROR


def exit_status(code: int) -> bytes:
    """The last message on the error channel: how the command ended."""
    if code == 0:
        return bytes([ERROR]) + msgspec.json.encode(_success())
    status = Status(
        metadata=ListMeta(),
        status="Failure",
        message=f"command terminated with non-zero exit code: exit status {code}",
        reason="NonZeroExitCode",
        details=StatusDetails(causes=[StatusCause(reason="ExitCode", message=str(code))]),
    )
    return bytes([ERROR]) + msgspec.json.encode(status)


def failure_status(message: str) -> bytes:
    """The command could not be run or its streams broke."""
    status = Status(status="Failure", message=message, reason="InternalError", code=500)
    return bytes([ERROR]) + msgspec.json.encode(status)


def _success() -> Status:
    return Status(status="Success")
