"""What kubelet and shim say to each other: one connection per request, length-prefixed msgpack frames.

A request is one tagged frame, its answer another. After the answer to Exec, Attach or Events the connection carries
chunks until either side closes it.
"""

import asyncio
from typing import Any, TypeVar

import msgspec

from node.engine import errors
from node.engine.base import ContainerSpec, SandboxSpec

# A request is a container's specification at most; an answer, the list of all containers of a node.
MAX_FRAME_BYTES = 64 * 1024 * 1024
LENGTH_BYTES = 4

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, tag=True):
    """Base of all requests; the tag is the class's name."""


class Version(Request, frozen=True):
    """→ the shim's version and its degradations."""


class RunSandbox(Request, frozen=True):
    spec: SandboxSpec


class StopSandbox(Request, frozen=True):
    id: str


class RemoveSandbox(Request, frozen=True):
    id: str


class ListSandboxes(Request, frozen=True):
    """→ list[SandboxState]"""


class CreateContainer(Request, frozen=True):
    sandbox_id: str
    spec: ContainerSpec


class StartContainer(Request, frozen=True):
    id: str


class StopContainer(Request, frozen=True):
    id: str
    grace_s: float


class RemoveContainer(Request, frozen=True):
    id: str


class ListContainers(Request, frozen=True):
    """→ list[ContainerState]"""


class Logs(Request, frozen=True):
    """→ the log file's path"""

    id: str


class ListImages(Request, frozen=True):
    """→ list[ImageInfo]"""


class LoadImage(Request, frozen=True):
    """The shim reads the archive itself: it is on the same machine. → list of tags"""

    archive: str


class RemoveImage(Request, frozen=True):
    ref: str


class Exec(Request, frozen=True):
    id: str
    command: list[str]
    tty: bool
    stdin: bool


class Attach(Request, frozen=True):
    id: str
    stdin: bool


class Events(Request, frozen=True):
    """→ a stream of EngineEvent frames"""


AnyRequest = (
    Version
    | RunSandbox
    | StopSandbox
    | RemoveSandbox
    | ListSandboxes
    | CreateContainer
    | StartContainer
    | StopContainer
    | RemoveContainer
    | ListContainers
    | Logs
    | ListImages
    | LoadImage
    | RemoveImage
    | Exec
    | Attach
    | Events
)


class Answer(msgspec.Struct, frozen=True):
    """`error` names one of `node.engine.errors`; "" means success."""

    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: str = ""
    message: str = ""


class About(msgspec.Struct, frozen=True):
    """The answer to Version."""

    version: str
    degradations: list[str]


STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN, RESIZE = range(6)


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a stream. `numbers`: the exit code of EXIT, width and height of RESIZE."""

    kind: int
    data: bytes = b""
    numbers: tuple[int, ...] = ()


class BadFrame(Exception):
    """The other side does not speak this protocol."""


def encode_frame(message: Any) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader, type: type[T]) -> T | None:
    """The next message; None at the end of the stream."""
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        if length > MAX_FRAME_BYTES:
            raise BadFrame(f"a frame of {length} bytes")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return msgspec.msgpack.decode(body, type=type)
    except msgspec.DecodeError as error:
        raise BadFrame(str(error)) from error


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The connection's first frame."""
    any_request: Any = AnyRequest
    request: Request | None = await read_frame(reader, any_request)
    return request


def answer_of(value: Any) -> Answer:
    return Answer(msgspec.Raw(msgspec.msgpack.encode(value)))


def failure_of(error: errors.EngineError) -> Answer:
    return Answer(error=type(error).__name__, message=str(error))


def error_of(answer: Answer) -> errors.EngineError:
    """The exception an answer stands for; an unknown name (a newer shim) is a plain EngineError."""
    kind = getattr(errors, answer.error, errors.EngineError)
    is_ours = isinstance(kind, type) and issubclass(kind, errors.EngineError)
    return kind(answer.message) if is_ours else errors.EngineError(answer.message)
