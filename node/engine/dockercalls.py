"""Calls to dockerd through the SDK: a bounded pool of threads, one translation of errors, waits without a thread.

Only the listing goes another way: it is asked for every second, and the SDK would make it the kubelet's main work.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

import docker
import msgspec
from docker.errors import APIError, DockerException
from docker.errors import ImageNotFound as NoSuchImage
from docker.errors import NotFound as NoSuchObject

from node.engine.dockerspec import KIND, Json
from node.engine.dockerstream import fetch
from node.engine.errors import EngineError, EngineUnavailable, ImageNotFound, NotFound

# About twice the cores of a small machine: Docker gets slower, not faster, with more at once.
CALL_THREADS = 4
# Pulls and loads take minutes and must not stand in the way of calls.
TRANSFER_THREADS = 2
CALL_TIMEOUT_S = 120
EXIT_POLL_FIRST_S = 0.02
EXIT_POLL_MAX_S = 0.25
REMOVE_TRIES = 5
REMOVE_RETRY_S = 0.2

T = TypeVar("T")


class DockerCalls:
    """What all parts of the Docker engine call the daemon through."""

    def __init__(self, socket: str) -> None:
        self.socket = socket.removeprefix("unix://")
        self._calls = ThreadPoolExecutor(CALL_THREADS, "docker")
        self._transfers = ThreadPoolExecutor(TRANSFER_THREADS, "docker-transfer")
        self._client: docker.APIClient | None = None
        self._version = ""
        self._inspected: dict[str, dict[str, Json]] = {}
        """Kind → container id → the last full answer."""

    async def call(self, function: Callable[[Any], T], *, transfer: bool = False) -> T:
        """Runs `function(api)` on a thread. Docker's errors become ours; its text is kept."""
        pool = self._transfers if transfer else self._calls
        return await asyncio.get_running_loop().run_in_executor(pool, self._guarded, function)

    def close(self) -> None:
        for pool in (self._calls, self._transfers):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def path(self, path: str) -> str:
        """With the version prefix that was agreed on with the daemon."""
        if not self._version:
            self._version = await self.call(lambda api: str(api.api_version))
        return f"/v{self._version}{path}"

    async def create(self, name: str, config: Json) -> str:
        """A name that is taken belongs to an attempt of ours whose answer got lost: it makes room."""
        try:
            return str((await self.call(lambda api: api.create_container_from_config(config, name)))["Id"])
        except _Conflict:
            await self.remove(name)
            return str((await self.call(lambda api: api.create_container_from_config(config, name)))["Id"])

    async def remove(self, container_id: str) -> None:
        """Kills and removes; succeeds when it is gone already. A removal under way elsewhere is waited for."""
        for attempt in range(REMOVE_TRIES):
            try:
                await self.call(lambda api: api.remove_container(container_id, force=True, v=True))
                return
            except NotFound:
                return
            except _Conflict:
                if attempt == REMOVE_TRIES - 1:
                    raise
                await asyncio.sleep(REMOVE_RETRY_S)

    async def signal(self, container_id: str, name: str) -> None:
        """A container that does not run (any more) needs no signal."""
        with contextlib.suppress(NotFound, _Conflict):
            await self.call(lambda api: api.kill(container_id, name))

    async def wait_ended(self, container_id: str, timeout_s: float | None) -> bool:
        """Whether it ended in time; polls, because a thread per wait would starve the pool."""
        deadline = time.monotonic() + timeout_s if timeout_s is not None else None
        pause_s = EXIT_POLL_FIRST_S
        while True:
            try:
                if not (await self.inspect(container_id))["State"]["Running"]:
                    return True
            except NotFound:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, EXIT_POLL_MAX_S)

    async def inspect(self, container_id: str) -> Json:
        answer: Json = await self.call(lambda api: api.inspect_container(container_id))
        return answer

    async def ids(self, label: str, *, running: bool = False) -> list[str]:
        found = await self.call(lambda api: api.containers(all=not running, quiet=True, filters={"label": label}))
        return [each["Id"] for each in found]

    async def inspect_all(self, kind: str) -> list[Json]:
        """All of our sandboxes or containers; only those whose state word changed are asked for again."""
        filters = quote(msgspec.json.encode({"label": [f"{KIND}={kind}"]}))
        listed = await fetch(self.socket, await self.path(f"/containers/json?all=1&filters={filters}"), list[_Line])
        words = {each.id: each.state for each in listed}
        cache = self._inspected.setdefault(kind, {})
        stale = [id for id, word in words.items() if id not in cache or cache[id]["State"]["Status"] != word]
        answers = await asyncio.gather(*(self.inspect(id) for id in stale), return_exceptions=True)
        for id, answer in zip(stale, answers, strict=True):
            if isinstance(answer, NotFound):
                words.pop(id)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                cache[id] = answer
        for gone in cache.keys() - words.keys():
            del cache[gone]
        return [cache[id] for id in words if id in cache]

    def forget(self, container_id: str) -> None:
        """Its details changed without its state word."""
        for cache in self._inspected.values():
            cache.pop(container_id, None)

    def _guarded(self, function: Callable[[Any], T]) -> T:
        try:
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=f"unix://{self.socket}",
                    version="auto",
                    timeout=CALL_TIMEOUT_S,
                    max_pool_size=2 * (CALL_THREADS + TRANSFER_THREADS),
                )
            return function(self._client)
        except NoSuchImage as error:
            raise ImageNotFound(_text(error)) from error
        except NoSuchObject as error:
            raise NotFound(_text(error)) from error
        except APIError as error:
            raise (_Conflict if error.status_code == 409 else EngineError)(_text(error)) from error
        except (DockerException, OSError) as error:
            # requests' own errors are OSErrors; the SDK wraps a failed first contact in a DockerException.
            raise EngineUnavailable(f"docker at {self.socket}: {error}") from error


class _Line(msgspec.Struct):
    """What matters of a container in Docker's list."""

    id: str = msgspec.field(name="Id")
    state: str = msgspec.field(name="State")


class _Conflict(EngineError):
    """The object is in a state that does not allow the request."""


def _text(error: APIError) -> str:
    return str(error.explanation or error)
