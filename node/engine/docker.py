"""The Docker engine: short calls through the SDK in a small thread pool, streams by asyncio on Docker's socket.

Docker is the only memory: pods are found again by labels (see `dockerspec`). Listing asks Docker for one line per
container and inspects only those whose state word changed, because that is when the details change. Stopping is a
signal, a wait and a kill of our own: a thread that waited out each grace period would starve all other calls.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from docker.utils import parse_repository_tag

from node import cgroups
from node.engine import capabilities, dockerspec
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
from node.engine.dockercalls import DockerCalls
from node.engine.dockerspec import CGROUP, CONTAINER, KIND, POD_UID, SANDBOX, SANDBOX_ID, Machine
from node.engine.dockerstream import DockerSession, events, hijack
from node.engine.errors import (
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    ImagePullError,
    InvalidContainer,
    NotFound,
    StartError,
)
from node.engine.imagebuild import PAUSE_TAG, pause_archive

KILL_TIMEOUT_S = 30.0
RECONNECT_S = 1.0
RESIZE_TRIES = 10
RESIZE_RETRY_S = 0.05
EXIT_CODE_FIRST_S = 0.02
EXIT_CODE_MAX_S = 0.25
OUR_PAUSE_PREFIX = "timonier/"
EVENT_KINDS: dict[str, Any] = {"start": "started", "die": "exited", "destroy": "removed", "oom": "oom"}


class DockerEngine:
    """`Engine` over one dockerd."""

    kind = "docker"

    def __init__(self, socket: str, *, pause_image: str = PAUSE_TAG) -> None:
        self._docker = DockerCalls(socket)
        self._call = self._docker.call
        self._pause_image = pause_image
        self._machine = Machine(capabilities.bounding_set(), capabilities.own_oom_score_adj())
        self._cgroups = cgroups.detect()
        self._pause_lock = asyncio.Lock()

    @property
    def degradations(self) -> list[str]:
        return capabilities.degradations(self._machine.allowed)

    async def version(self) -> str:
        answer = await self._call(lambda api: api.version())
        return f"docker://{answer['Version']}"

    async def close(self) -> None:
        self._docker.close()

    # Sandboxes.

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        await self._ensure_pause_image()
        config = dockerspec.sandbox_config(spec, self._pause_image, self._machine)
        sandbox_id = await self._docker.create(dockerspec.sandbox_name(spec), config)
        try:
            await self._call(lambda api: api.start(sandbox_id))
        except EngineError as error:
            await self._docker.remove(sandbox_id)
            raise StartError(str(error)) from error
        return sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Its containers first, then the namespaces; nobody in the sandbox gets a grace period any more."""
        members = await self._docker.ids(f"{SANDBOX_ID}={sandbox_id}", running=True)
        for container_id in [*members, sandbox_id]:
            await self._docker.signal(container_id, "SIGKILL")
            await self._docker.wait_ended(container_id, KILL_TIMEOUT_S)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        try:
            labels = await self._sandbox_labels(sandbox_id)
        except NotFound:
            labels = {}
        for container_id in await self._docker.ids(f"{SANDBOX_ID}={sandbox_id}"):
            await self._docker.remove(container_id)
        await self._docker.remove(sandbox_id)
        group = labels.get(CGROUP, "")
        if group.strip("/"):
            # Docker leaves the pod's group; another sandbox of the pod may still live in it.
            self._cgroups.remove(group)

    async def list_sandboxes(self) -> list[SandboxState]:
        return [dockerspec.sandbox_state(each) for each in await self._docker.inspect_all(SANDBOX)]

    # Containers.

    async def create_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        labels = await self._sandbox_labels(sandbox_id)
        try:
            config = dockerspec.container_config(spec, sandbox_id, labels, self._machine)
        except capabilities.UnknownCapability as error:
            raise InvalidContainer(str(error)) from error
        try:
            return await self._docker.create(dockerspec.container_name(spec, sandbox_id, labels), config)
        except (EngineUnavailable, ImageNotFound):
            raise
        except EngineError as error:
            raise InvalidContainer(str(error)) from error

    async def start_container(self, container_id: str) -> None:
        try:
            await self._call(lambda api: api.start(container_id))
        except (EngineUnavailable, NotFound):
            raise
        except EngineError as error:
            raise StartError(str(error)) from error
        finally:
            self._docker.forget(container_id)

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        with contextlib.suppress(NotFound):
            inspected = await self._docker.inspect(container_id)
            if not inspected["State"]["Running"]:
                return
            if grace_s > 0:
                await self._docker.signal(container_id, inspected["Config"].get("StopSignal") or "SIGTERM")
                if await self._docker.wait_ended(container_id, grace_s):
                    return
            await self._docker.signal(container_id, "SIGKILL")
            if not await self._docker.wait_ended(container_id, KILL_TIMEOUT_S):
                raise EngineError(f"container {container_id[:12]} does not end after SIGKILL")

    async def remove_container(self, container_id: str) -> None:
        await self._docker.remove(container_id)

    async def list_containers(self) -> list[ContainerState]:
        return [dockerspec.container_state(each) for each in await self._docker.inspect_all(CONTAINER)]

    async def logs(self, container_id: str) -> LogSource:
        return LogSource((await self._docker.inspect(container_id))["LogPath"], "docker-json")

    # Images.

    async def pull_image(self, ref: str) -> str:
        repository, tag = parse_repository_tag(ref)
        try:
            await self._call(lambda api: _pull(api, repository, tag or "latest"), transfer=True)
            return str((await self._call(lambda api: api.inspect_image(ref)))["Id"])
        except (EngineUnavailable, ImagePullError):
            raise
        except EngineError as error:
            raise ImagePullError(f"failed to pull image {ref!r}: {error}") from error

    async def image_status(self, ref: str) -> ImageInfo | None:
        try:
            return dockerspec.image_info(await self._call(lambda api: api.inspect_image(ref)))
        except (ImageNotFound, NotFound):
            return None

    async def list_images(self) -> list[ImageInfo]:
        return [dockerspec.image_info(each) for each in await self._call(lambda api: api.images())]

    async def load_image(self, archive: str) -> list[str]:
        return await self._call(lambda api: _load(api, archive), transfer=True)

    async def remove_image(self, ref: str) -> None:
        with contextlib.suppress(ImageNotFound, NotFound):
            await self._call(lambda api: api.remove_image(ref))

    async def _ensure_pause_image(self) -> None:
        if await self.image_status(self._pause_image) is not None:
            return
        async with self._pause_lock:
            if await self.image_status(self._pause_image) is not None:
                return
            if not self._pause_image.startswith(OUR_PAUSE_PREFIX):
                await self.pull_image(self._pause_image)
                return
            try:
                archive = pause_archive(self._pause_image)
            except OSError as error:
                raise ImageNotFound(f"cannot build {self._pause_image}: {error} (Debian: busybox-static)") from error
            await self._call(lambda api: list(api.load_image(archive)), transfer=True)

    # Streams.

    async def exec(self, container_id: str, command: list[str], *, tty: bool, stdin: bool) -> ExecSession:
        created = await self._call(
            lambda api: api.exec_create(container_id, command, stdin=stdin, stdout=True, stderr=True, tty=tty)
        )
        exec_id = created["Id"]
        path = await self._docker.path(f"/exec/{exec_id}/start")
        streams = await hijack(self._docker.socket, path, {"Detach": False, "Tty": tty})
        return DockerSession(
            streams,
            tty=tty,
            resize=lambda width, height: self._resize_exec(exec_id, width, height),
            wait=lambda: self._exec_exit_code(exec_id),
        )

    async def attach(self, container_id: str, *, stdin: bool) -> ExecSession:
        inspected = await self._docker.inspect(container_id)
        if not inspected["State"]["Running"]:
            raise NotFound(f"container {container_id[:12]} does not run")
        query = f"stream=1&stdout=1&stderr=1&stdin={int(stdin)}"
        path = await self._docker.path(f"/containers/{container_id}/attach?{query}")
        streams = await hijack(self._docker.socket, path, {})
        return DockerSession(
            streams,
            tty=inspected["Config"]["Tty"],
            resize=lambda width, height: self._call(lambda api: api.resize(container_id, height, width)),
            wait=lambda: self._container_exit_code(container_id),
        )

    async def _resize_exec(self, exec_id: str, width: int, height: int) -> None:
        """Docker refuses until the process has started, which is a moment after the stream has."""
        for _ in range(RESIZE_TRIES):
            try:
                await self._call(lambda api: api.exec_resize(exec_id, height=height, width=width))
                return
            except EngineUnavailable:
                raise
            except EngineError:
                await asyncio.sleep(RESIZE_RETRY_S)

    async def _exec_exit_code(self, exec_id: str) -> int:
        """The stream ends a moment before Docker knows the code, and long before if the process closed its own."""
        pause_s = EXIT_CODE_FIRST_S
        while True:
            answer = await self._call(lambda api: api.exec_inspect(exec_id))
            if not answer["Running"] and answer["ExitCode"] is not None:
                return int(answer["ExitCode"])
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, EXIT_CODE_MAX_S)

    async def _container_exit_code(self, container_id: str) -> int:
        await self._docker.wait_ended(container_id, None)
        return int((await self._docker.inspect(container_id))["State"]["ExitCode"])

    async def _sandbox_labels(self, sandbox_id: str) -> dict[str, str]:
        labels: dict[str, str] = (await self._docker.inspect(sandbox_id))["Config"]["Labels"]
        return labels

    async def events(self) -> AsyncIterator[EngineEvent]:
        wanted = {"type": ["container"], "event": list(EVENT_KINDS), "label": [KIND]}
        while True:
            with contextlib.suppress(EngineError):
                path = await self._docker.path(f"/events?filters={quote(msgspec.json.encode(wanted))}")
                yield EngineEvent(kind="reconnected")
                async for event in events(self._docker.socket, path):
                    yield _event(event)
            await asyncio.sleep(RECONNECT_S)


def _event(event: dict[str, Any]) -> EngineEvent:
    attributes = event["Actor"]["Attributes"]
    return EngineEvent(
        kind=EVENT_KINDS[event["Action"]], container_id=event["Actor"]["ID"], pod_uid=attributes.get(POD_UID, "")
    )


def _pull(api: Any, repository: str, tag: str) -> None:
    """The progress stream must be read to its end; an error comes as one of its lines."""
    for line in api.pull(repository, tag=tag, stream=True, decode=True):
        if "error" in line:
            raise ImagePullError(str(line["error"]))


def _load(api: Any, archive: str) -> list[str]:
    """Docker says what it loaded in words."""
    loaded = []
    with Path(archive).open("rb") as file:
        for line in api.load_image(file):
            if "error" in line:
                raise EngineError(str(line["error"]))
            for prefix in ("Loaded image: ", "Loaded image ID: "):
                if str(line.get("stream", "")).startswith(prefix):
                    loaded.append(str(line["stream"]).removeprefix(prefix).strip())
    return loaded
