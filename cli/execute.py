"""`timonier exec`: run a command in a container, over a WebSocket."""

import asyncio
import contextlib
import sys
from typing import Annotated

import aiohttp
import typer

from cli import channels, verb
from cli.channels import Channel, Outcome
from cli.errors import CommandError
from cli.options import CONTAINER
from cli.session import Session
from cli.terminal import on_resize, raw_terminal, read_stdin
from cli.workloads import container_of, pod_of


def register(app: typer.Typer) -> None:
    verb.add(app, "exec", execute, context_settings={"ignore_unknown_options": True})


async def execute(
    session: Session,
    pod: Annotated[str, typer.Argument(help="`web-1`, `pod/web-1` or `deployment/web`.")],
    command: Annotated[list[str], typer.Argument(help="The command, after `--`.")],
    container: CONTAINER = "",
    stdin: Annotated[bool, typer.Option("-i", "--stdin", help="Pass standard input on.")] = False,
    terminal: Annotated[bool, typer.Option("-t", "--tty", help="Give the command a terminal.")] = False,
) -> int:
    """Run a command in a container; the exit code is the command's."""
    found = await pod_of(session, pod)
    meta = found["metadata"]
    params = [("command", word) for word in command]
    params += [("container", container_of(found, container)), ("stdout", "true")]
    params += [("stdin", "true")] if stdin else []
    params += [("tty", "true")] if terminal else [("stderr", "true")]
    path = (await session.catalogue()).find("pods").path(meta["namespace"], meta["name"], "exec")
    socket = await session.client.streams.websocket(path, params=params, protocols=channels.PROTOCOLS)
    if terminal and not sys.stdin.isatty():
        print("Unable to use a TTY - input is not a terminal or the right kind of file", file=sys.stderr)
    try:
        with raw_terminal() if terminal and stdin else contextlib.nullcontext():
            outcome = await _converse(socket, stdin=stdin, terminal=terminal)
    finally:
        await socket.close()
    if outcome.message:
        print(outcome.message, file=sys.stderr)
    return outcome.exit_code


async def _converse(socket: aiohttp.ClientWebSocketResponse, *, stdin: bool, terminal: bool) -> Outcome:
    sending = asyncio.create_task(_send_stdin(socket)) if stdin else None
    background: set[asyncio.Task[None]] = set()

    def tell_size(columns: int, rows: int) -> None:
        task = asyncio.create_task(socket.send_bytes(channels.resize(columns, rows)))
        background.add(task)
        task.add_done_callback(background.discard)

    try:
        with on_resize(tell_size) if terminal else contextlib.nullcontext():
            return await _receive(socket)
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _send_stdin(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for data in read_stdin():
        await socket.send_bytes(channels.encode(Channel.STDIN, data))
    if socket.protocol == channels.CLOSING_PROTOCOL:
        await socket.send_bytes(channels.close_stdin())


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> Outcome:
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY:
            continue
        channel, data = channels.decode(message.data)
        if channel == Channel.ERROR:
            return channels.outcome(data)
        if channel in (Channel.STDOUT, Channel.STDERR) and data:
            target = sys.stderr if channel == Channel.STDERR else sys.stdout
            target.buffer.write(data)
            target.buffer.flush()
    raise CommandError("the connection was closed before the command ended")
