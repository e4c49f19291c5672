"""The kubelet's side of the embedded engine: `Engine` over the shim's socket, one connection per request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from node.engine.base import (
    ContainerSpec,
    ContainerState,
    EngineEvent,
    ExecSession,
    ImageInfo,
    LogSource,
    SandboxSpec,
    SandboxState,
)
from node.engine.embedded import protocol
from node.engine.embedded.imageref import find_image
from node.engine.embedded.protocol import Answer, Chunk, Request, encode_frame, read_frame
from node.engine.errors import EngineError, EngineUnavailable, ImagePullError

CONNECT_TIMEOUT_S = 10.0
# Beyond any grace period or archive: only a shim that hangs takes this long.
ANSWER_TIMEOUT_S = 900.0
RECONNECT_S = 0.5

T = TypeVar("T")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class EmbeddedEngine:
    """`Engine` by the shim at `socket`."""

    kind = "embedded"

    def __init__(self, socket: str) -> None:
        self._socket = socket.removeprefix("unix://")
        self._degradations: list[str] = []

    @property
    def degradations(self) -> list[str]:
        """Known once `version` was asked for."""
        return self._degradations

    async def version(self) -> str:
        about = await self._ask(protocol.Version(), protocol.About)
        self._degradations = about.degradations
        return f"embedded://{about.version}"

    async def close(self) -> None:
        """Nothing is held between requests."""

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        return await self._ask(protocol.RunSandbox(spec), str)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._tell(protocol.StopSandbox(sandbox_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._tell(protocol.RemoveSandbox(sandbox_id))

    async def list_sandboxes(self) -> list[SandboxState]:
        return await self._ask(protocol.ListSandboxes(), list[SandboxState])

    async def create_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        return await self._ask(protocol.CreateContainer(sandbox_id, spec), str)

    async def start_container(self, container_id: str) -> None:
        await self._tell(protocol.StartContainer(container_id))

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        await self._tell(protocol.StopContainer(container_id, grace_s))

    async def remove_container(self, container_id: str) -> None:
        await self._tell(protocol.RemoveContainer(container_id))

    async def list_containers(self) -> list[ContainerState]:
        return await self._ask(protocol.ListContainers(), list[ContainerState])

    async def logs(self, container_id: str) -> LogSource:
        return LogSource(await self._ask(protocol.Logs(container_id), str), "cri")

    async def pull_image(self, ref: str) -> str:
        raise ImagePullError(
            f"failed to pull image {ref!r}: the embedded engine takes images from archives (`docker save`, OCI) only"
        )

    async def image_status(self, ref: str) -> ImageInfo | None:
        return find_image(await self.list_images(), ref)

    async def list_images(self) -> list[ImageInfo]:
        return await self._ask(protocol.ListImages(), list[ImageInfo])

    async def load_image(self, archive: str) -> list[str]:
        return await self._ask(protocol.LoadImage(archive), list[str])

    async def remove_image(self, ref: str) -> None:
        await self._tell(protocol.RemoveImage(ref))

    async def exec(self, container_id: str, command: list[str], *, tty: bool, stdin: bool) -> ExecSession:
        return ShimSession(await self._open(protocol.Exec(container_id, command, tty, stdin)))

    async def attach(self, container_id: str, *, stdin: bool) -> ExecSession:
        return ShimSession(await self._open(protocol.Attach(container_id, stdin)))

    async def events(self) -> AsyncIterator[EngineEvent]:
        while True:
            with contextlib.suppress(EngineError):
                reader, writer = await self._open(protocol.Events())
                try:
                    yield EngineEvent(kind="reconnected")
                    while (event := await read_frame(reader, EngineEvent)) is not None:
                        yield event
                finally:
                    writer.close()
            await asyncio.sleep(RECONNECT_S)

    async def _ask(self, request: Request, type: type[T]) -> T:
        return msgspec.msgpack.decode((await self._call(request)).value, type=type)

    async def _tell(self, request: Request) -> None:
        await self._call(request)

    async def _call(self, request: Request) -> Answer:
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._exchange(reader, writer, request)
        except TimeoutError as error:
            raise EngineUnavailable(f"the shim at {self._socket} does not answer") from error
        finally:
            writer.close()

    async def _open(self, request: Request) -> Streams:
        """A connection that stays open for the stream after the answer."""
        reader, writer = await self._connect()
        try:
            await self._exchange(reader, writer, request)
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> Answer:
        try:
            writer.write(encode_frame(request))
            await writer.drain()
            answer: Answer | None = await read_frame(reader, Answer)
        except (OSError, protocol.BadFrame) as error:
            raise EngineUnavailable(f"the shim at {self._socket}: {error}") from error
        if answer is None:
            raise EngineUnavailable(f"the shim at {self._socket} went away in the middle of a request")
        if answer.error:
            raise protocol.error_of(answer)
        return answer

    async def _connect(self) -> Streams:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await asyncio.open_unix_connection(self._socket)
        except (OSError, TimeoutError) as error:
            raise EngineUnavailable(f"no shim at {self._socket}: {error or 'timed out'}") from error


class ShimSession:
    """`ExecSession` over a connection to the shim."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.Lock()

    async def read(self) -> tuple[int, bytes] | None:
        async with self._reading:
            if self._exit.done():
                return None
            chunk = await read_frame(self._reader, Chunk)
            if chunk is not None and chunk.kind in (protocol.STDOUT, protocol.STDERR):
                return chunk.kind, chunk.data
            # A shim that vanished cannot tell the code any more: as docker's 255 for what it lost.
            self._exit.set_result(chunk.numbers[0] if chunk is not None and chunk.numbers else 255)
            return None

    async def write(self, data: bytes) -> None:
        await self._send(Chunk(protocol.STDIN, data))

    async def close_stdin(self) -> None:
        await self._send(Chunk(protocol.CLOSE_STDIN))

    async def resize(self, width: int, height: int) -> None:
        await self._send(Chunk(protocol.RESIZE, numbers=(width, height)))

    async def wait(self) -> int:
        """Output that nobody read is thrown away: its writer must be able to end."""
        while not self._exit.done():
            await self.read()
        return self._exit.result()

    async def close(self) -> None:
        self._writer.close()

    async def _send(self, chunk: Chunk) -> None:
        with contextlib.suppress(ConnectionError):  # the process has ended; its exit code is on the way to us
            self._writer.write(encode_frame(chunk))
            await self._writer.drain()
