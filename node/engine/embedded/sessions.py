"""The shim's side of exec and attach: streams between a client's connection and a process.

A client that goes away takes the process of its exec with it (a probe that timed out must not pile up processes);
it never touches the container's main process.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from node.engine.embedded import protocol, syscalls
from node.engine.embedded.execution import Execution, join_and_run
from node.engine.embedded.fdio import read_some, write_all
from node.engine.embedded.fork import fork, read_report, wait_exit
from node.engine.embedded.launch import NOT_FOUND
from node.engine.embedded.minder import receive_fd
from node.engine.embedded.protocol import Chunk, encode_frame, read_frame
from node.engine.embedded.streams import ContainerStreams

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Program:
    """An exec's process and our ends of its streams."""

    def __init__(self, pid: int, source: int, outputs: dict[int, int]) -> None:
        self.pid = pid
        self.source = source
        self.outputs = outputs
        """Descriptor → stream."""

    @property
    def terminal(self) -> int:
        return self.source if self.source in self.outputs else -1

    async def feed(self, chunk: Chunk) -> None:
        if chunk.kind == protocol.STDIN and self.source >= 0:
            await write_all(self.source, chunk.data)
        elif chunk.kind == protocol.CLOSE_STDIN and self.source >= 0 and self.terminal < 0:
            os.close(self.source)
            self.source = -1
        elif chunk.kind == protocol.RESIZE and self.terminal >= 0:
            syscalls.set_window_size(self.terminal, *chunk.numbers)

    def close(self) -> None:
        for fd in {self.source, *self.outputs} - {-1}:
            os.close(fd)
        self.source, self.outputs = -1, {}

    def kill(self) -> None:
        """The joiner's only child is the program."""
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)


async def start_program(execution: Execution, *, stdin: bool) -> tuple[Program, str]:
    """The program, and why it could not be started ("" when it runs)."""
    report_in, report_out = os.pipe()
    ours, theirs = socket.socketpair() if execution.tty else (None, None)
    near, far = ([], []) if execution.tty else _pipes(stdin=stdin)
    keep = {report_out, *far, *([theirs.fileno()] if theirs else [])}
    pid = fork(lambda: join_and_run(execution, far, theirs, report_out), keep)
    for fd in (report_out, *far):
        os.close(fd)
    if theirs is not None:
        theirs.close()
    complaint = (await read_report(report_in)).decode(errors="replace")
    if ours is None:
        return Program(pid, near[0], {near[1]: protocol.STDOUT, near[2]: protocol.STDERR}), complaint
    master = receive_fd(ours)
    return Program(pid, master, {master: protocol.STDOUT} if master >= 0 else {}), complaint


def _pipes(*, stdin: bool) -> tuple[list[int], list[int]]:
    """Our ends and the program's, each as (standard input, output, error)."""
    source_far, source = os.pipe()
    output, output_far = os.pipe()
    error, error_far = os.pipe()
    if not stdin:
        os.close(source)
        source = -1
    return [source, output, error], [source_far, output_far, error_far]


async def serve_exec(program: Program, complaint: str, streams: Streams) -> None:
    """Until program and output have ended, or the client has."""
    reader, writer = streams
    listening = asyncio.create_task(_listen(reader, program.feed))
    working = asyncio.create_task(_work(program, complaint, writer))
    try:
        await asyncio.wait({listening, working}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not working.done():
            program.kill()
        for task in (listening, working):
            task.cancel()
        await asyncio.gather(listening, working, return_exceptions=True)
        program.close()
        await wait_exit(program.pid)


async def _work(program: Program, complaint: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.gather(*(_copy(fd, stream, writer) for fd, stream in program.outputs.items()))
    code = await wait_exit(program.pid)
    if complaint:
        await _send(writer, Chunk(protocol.STDERR, f"{complaint}\n".encode()))
    await _send(writer, Chunk(protocol.EXIT, numbers=(NOT_FOUND if complaint or code is None else code,)))


async def _copy(fd: int, stream: int, writer: asyncio.StreamWriter) -> None:
    while data := await read_some(fd):
        await _send(writer, Chunk(stream, data))


async def serve_attach(
    container: ContainerStreams, exit_code: Callable[[], Awaitable[int]], streams: Streams, *, stdin: bool
) -> None:
    """Until the container has ended, or the client has."""
    reader, writer = streams

    async def feed(chunk: Chunk) -> None:
        if chunk.kind == protocol.STDIN and stdin:
            await container.write(chunk.data)
        elif chunk.kind == protocol.CLOSE_STDIN and stdin:
            await container.end_input()
        elif chunk.kind == protocol.RESIZE and container.terminal >= 0:
            syscalls.set_window_size(container.terminal, *chunk.numbers)

    async def tell() -> None:
        while (piece := await listener.get()) is not None:
            await _send(writer, Chunk(*piece))
        await _send(writer, Chunk(protocol.EXIT, numbers=(await exit_code(),)))

    listener = container.listen()
    listening, telling = asyncio.create_task(_listen(reader, feed)), asyncio.create_task(tell())
    tasks = {listening, telling}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if stdin and listening.done():
            await container.end_input()
    finally:
        container.unlisten(listener)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(reader: asyncio.StreamReader, feed: Callable[[Chunk], Awaitable[None]]) -> None:
    while (chunk := await read_frame(reader, Chunk)) is not None:
        await feed(chunk)


async def _send(writer: asyncio.StreamWriter, chunk: Chunk) -> None:
    writer.write(encode_frame(chunk))
    await writer.drain()
