"""What the engine tests share: pods made short, and waiting for conditions instead of time."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from node.engine.base import (
    STDERR,
    STDOUT,
    ContainerSpec,
    ContainerState,
    Engine,
    ExecSession,
    SandboxSpec,
    SandboxState,
)

BOX = "test/box:1"
DEADLINE_S = 20.0
FOREVER = ["sleep", "1000"]


class Pod:
    """One sandbox on one engine, in a cgroup of its own."""

    def __init__(self, engine: Engine, group: str, folder: Path) -> None:
        self.engine = engine
        self.uid = uuid.uuid4().hex[:12]
        self.group = f"{group}/pod{self.uid}"
        self.folder = folder
        self.id = ""
        self._containers = 0

    async def start(self, **spec: Any) -> "Pod":
        order = {"pod_uid": self.uid, "name": "web", "namespace": "default", "hostname": "web-0"} | spec
        self.id = await self.engine.run_sandbox(SandboxSpec(cgroup_parent=self.group, **order))
        return self

    async def create(self, command: list[str] | None = None, **spec: Any) -> str:
        self._containers += 1
        order = {"name": f"c{self._containers}", "image": BOX, "command": command} | spec
        order.setdefault("log_path", str(self.folder / f"{self.uid}-{order['name']}.log"))
        return await self.engine.create_container(self.id, ContainerSpec(**order))

    async def run(self, command: list[str] | None = None, **spec: Any) -> str:
        container_id = await self.create(command, **spec)
        await self.engine.start_container(container_id)
        return container_id

    async def output(self, script: str, **spec: Any) -> str:
        """Runs a container to its end and returns what it wrote to standard output."""
        container_id = await self.run(["sh", "-c", script], **spec)
        ended = await wait_ended(self.engine, container_id)
        text = await log_text(self.engine, container_id)
        assert ended.exit_code == 0, (ended, text)
        return text

    async def sandbox(self) -> SandboxState:
        return next(each for each in await self.engine.list_sandboxes() if each.id == self.id)


@contextlib.asynccontextmanager
async def pod_on(engine: Engine, group: str, folder: Path, **spec: Any) -> AsyncIterator[Pod]:
    pod = Pod(engine, group, folder)
    try:
        yield await pod.start(**spec)
    finally:
        if pod.id:
            await engine.remove_sandbox(pod.id)


async def until(condition: Callable[[], Awaitable[Any]], what: str = "condition") -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        if (found := await condition()) is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"{what} did not come true"
        await asyncio.sleep(0.01)


async def container_of(engine: Engine, container_id: str) -> ContainerState:
    return next(each for each in await engine.list_containers() if each.id == container_id)


async def wait_ended(engine: Engine, container_id: str) -> ContainerState:
    async def ended() -> ContainerState | None:
        state = await container_of(engine, container_id)
        return state if state.state == "exited" else None

    found: ContainerState = await until(ended, "the container's end")
    return found


async def wait_log(engine: Engine, container_id: str, text: str) -> None:
    async def written() -> bool:
        return text in await log_text(engine, container_id)

    await until(written, f"{text!r} in the log")


async def log_text(engine: Engine, container_id: str, stream: str = "stdout") -> str:
    """The log's text of one stream, whatever the format of the file."""
    source = await engine.logs(container_id)
    text = ""
    for line in Path(source.path).read_bytes().splitlines():
        if source.format == "docker-json":
            entry = msgspec.json.decode(line)
            text += entry["log"] if entry["stream"] == stream else ""
        else:
            _, name, tag, content = line.decode().split(" ", 3)
            text += (content + ("\n" if tag == "F" else "")) if name == stream else ""
    return text


async def drain(session: ExecSession) -> tuple[str, str]:
    """Everything until both streams end, as (stdout, stderr)."""
    parts = {STDOUT: b"", STDERR: b""}
    async with asyncio.timeout(DEADLINE_S):
        while (piece := await session.read()) is not None:
            parts[piece[0]] += piece[1]
    return parts[STDOUT].decode(), parts[STDERR].decode()


async def run_in(engine: Engine, container_id: str, script: str) -> tuple[int, str, str]:
    session = await engine.exec(container_id, ["sh", "-c", script], tty=False, stdin=False)
    try:
        out, err = await drain(session)
        return await session.wait(), out, err
    finally:
        await session.close()
