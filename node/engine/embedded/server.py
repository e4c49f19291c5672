"""The shim's Unix socket: one connection, one request; then the answer, and for some the streams that follow it."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from node.engine.embedded import protocol
from node.engine.embedded.protocol import Request, answer_of, encode_frame, failure_of, read_request
from node.engine.embedded.sessions import serve_attach, serve_exec, start_program
from node.engine.embedded.shim import Shim
from node.engine.errors import EngineError

log = logging.getLogger(__name__)

VERSION = "0.1"
BACKLOG = 128

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def listen(shim: Shim, path: Path) -> asyncio.Server:
    """Only root may connect: whoever speaks here owns the node."""
    path.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _serve(shim, (reader, writer))
        except (ConnectionError, protocol.BadFrame) as error:
            log.info("connection lost: %s", error)
        finally:
            with contextlib.suppress(ConnectionError):
                writer.close()

    server = await asyncio.start_unix_server(serve, temporary, backlog=BACKLOG)
    temporary.chmod(0o600)
    temporary.rename(path)
    return server


async def _serve(shim: Shim, streams: Streams) -> None:
    reader, writer = streams
    request = await read_request(reader)
    if request is None:
        return
    try:
        match request:
            case protocol.Exec():
                await _serve_exec(shim, request, streams)
            case protocol.Attach():
                await _serve_attach(shim, request, streams)
            case protocol.Events():
                await _serve_events(shim, streams)
            case _:
                await _send(writer, answer_of(await _carry_out(shim, request)))
    except EngineError as error:
        await _send(writer, failure_of(error))
    except Exception as error:  # a defect of ours must reach the caller as an error, not as a closed connection
        if isinstance(error, ConnectionError | protocol.BadFrame):
            raise
        log.exception("%s", type(request).__name__)
        await _send(writer, failure_of(EngineError(f"{type(error).__name__}: {error}")))


async def _carry_out(shim: Shim, request: Request) -> Any:
    """The value to answer with."""
    match request:
        case protocol.Version():
            return protocol.About(VERSION, shim.degradations)
        case protocol.RunSandbox(spec):
            return await shim.run_sandbox(spec)
        case protocol.StopSandbox(id):
            return await shim.stop_sandbox(id)
        case protocol.RemoveSandbox(id):
            return await shim.remove_sandbox(id)
        case protocol.ListSandboxes():
            return shim.list_sandboxes()
        case protocol.CreateContainer(sandbox_id, spec):
            return shim.create_container(sandbox_id, spec)
        case protocol.StartContainer(id):
            return await shim.start_container(id)
        case protocol.StopContainer(id, grace_s):
            return await shim.stop_container(id, grace_s)
        case protocol.RemoveContainer(id):
            return await shim.remove_container(id)
        case protocol.ListContainers():
            return shim.list_containers()
        case protocol.Logs(id):
            return shim.log_path(id)
        case protocol.ListImages():
            return [record.info() for record in shim.images.all()]
        case protocol.LoadImage(archive):
            return await shim.images.load(archive)
        case protocol.RemoveImage(ref):
            return shim.remove_image(ref)
    raise EngineError(f"unknown request {type(request).__name__}")


async def _serve_exec(shim: Shim, request: protocol.Exec, streams: Streams) -> None:
    execution = shim.execution(request.id, request.command, tty=request.tty)
    program, complaint = await start_program(execution, stdin=request.stdin)
    await _send(streams[1], answer_of(None))
    await serve_exec(program, complaint, streams)


async def _serve_attach(shim: Shim, request: protocol.Attach, streams: Streams) -> None:
    container = shim.running(request.id)
    assert container.streams is not None
    await _send(streams[1], answer_of(None))
    await serve_attach(container.streams, container.exit_code, streams, stdin=request.stdin)


async def _serve_events(shim: Shim, streams: Streams) -> None:
    reader, writer = streams
    queue = shim.watch()
    gone = asyncio.create_task(reader.read(1))
    try:
        await _send(writer, answer_of(None))
        while not gone.done():
            waiting = asyncio.create_task(queue.get())
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                break
            await _send(writer, waiting.result())
    finally:
        gone.cancel()
        shim.unwatch(queue)


async def _send(writer: asyncio.StreamWriter, message: Any) -> None:
    writer.write(encode_frame(message))
    await writer.drain()
