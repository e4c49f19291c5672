"""Gets a container's image onto the node: pull policy, pulls in the background, back-off after failures.

`ensure` never waits for a pull: it says what holds the container back, and wakes the pod when the pull has ended.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from node.engine.base import Engine, ImageInfo
from node.facts import Waiting

log = logging.getLogger(__name__)

PULL_BACKOFF_FIRST_S = 10.0
PULL_BACKOFF_MAX_S = 300.0
MAX_PARALLEL_PULLS = 2
PULL_TIMEOUT_S = 600.0
RETELL_S = 3.0
"""How long ErrImagePull stands in the status before it turns into ImagePullBackOff."""
MAX_ERROR_TEXT = 1024

Notify = Callable[[str, str, str], None]
"""type, reason, message of an event about the pod."""


class Held(msgspec.Struct, frozen=True):
    """The container must wait; look again at `wake_at_s` at the latest (0: a wake-up will come)."""

    waiting: Waiting
    wake_at_s: float = 0.0


class Present(msgspec.Struct, frozen=True):
    """The image is here; `message` is the event to tell when the container is made."""

    info: ImageInfo
    message: str


class _Failure(msgspec.Struct):
    delay_s: float
    failed_s: float
    message: str


def pull_policy(policy: str, image: str) -> str:
    """The policy as written, or the one that follows from the tag."""
    if policy:
        return policy
    name = image.rpartition("/")[2]
    return "Always" if "@" not in name and (":" not in name or name.endswith(":latest")) else "IfNotPresent"


class ImagePuller:
    def __init__(self, engine: Engine, clock: Callable[[], float], wake: Callable[[str], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._wake = wake
        self._slots = asyncio.Semaphore(MAX_PARALLEL_PULLS)
        self._pulls: dict[str, asyncio.Task[str]] = {}
        self._waiting: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._failures: dict[tuple[str, str], _Failure] = {}

    async def ensure(self, pod_uid: str, container: str, image: str, policy: str, notify: Notify) -> Present | Held:
        policy = pull_policy(policy, image)
        pull = self._waiting.get((pod_uid, container))
        if pull is not None:
            return await self._look_at(pull, pod_uid, container, image, notify)
        info = await self._engine.image_status(image)
        if info is not None and policy != "Always":
            return Present(info, f'Container image "{image}" already present on machine')
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            notify("Warning", "ErrImageNeverPull", message)
            return Held(Waiting("ErrImageNeverPull", message), self._clock() + PULL_BACKOFF_FIRST_S)
        failure = self._failures.get((pod_uid, image))
        if failure is not None and self._clock() < failure.failed_s + failure.delay_s:
            notify("Normal", "BackOff", f'Back-off pulling image "{image}"')
            message = f'Back-off pulling image "{image}": ErrImagePull: {failure.message}'
            return Held(Waiting("ImagePullBackOff", message), failure.failed_s + failure.delay_s)
        notify("Normal", "Pulling", f'Pulling image "{image}"')
        self._waiting[pod_uid, container] = self._begin(image, pod_uid)
        return Held(Waiting("ContainerCreating"))

    def forget(self, pod_uid: str) -> None:
        """The pod is gone. A pull that others wait for too goes on."""
        for key in [key for key in self._waiting if key[0] == pod_uid]:
            del self._waiting[key]
        for key in [key for key in self._failures if key[0] == pod_uid]:
            del self._failures[key]

    def _begin(self, image: str, pod_uid: str) -> asyncio.Task[str]:
        """One pull an image, however many pods wait for it."""
        task = self._pulls.get(image)
        if task is None:
            task = self._pulls[image] = asyncio.create_task(self._pull(image), name=f"pull {image}")
            task.add_done_callback(lambda _: self._pulls.pop(image, None))
        task.add_done_callback(lambda _: self._wake(pod_uid))
        return task

    async def _pull(self, image: str) -> str:
        """The error's text, or nothing."""
        async with self._slots:
            try:
                async with asyncio.timeout(PULL_TIMEOUT_S):
                    await self._engine.pull_image(image)
            except TimeoutError:
                return f"pull took longer than {PULL_TIMEOUT_S:.0f}s"
            except Exception as error:  # whatever the engine or the registry came up with is the user's answer
                log.info("pull of %s: %s", image, error)
                return (str(error) or type(error).__name__)[:MAX_ERROR_TEXT]
        return ""

    async def _look_at(
        self, pull: asyncio.Task[str], pod_uid: str, container: str, image: str, notify: Notify
    ) -> Present | Held:
        if not pull.done():
            return Held(Waiting("ContainerCreating"))
        del self._waiting[pod_uid, container]
        error = pull.result()
        info = None if error else await self._engine.image_status(image)
        if info is not None:
            self._failures.pop((pod_uid, image), None)
            return Present(info, f'Successfully pulled image "{image}"')
        return self._failed(pod_uid, image, error or "the image was pulled and is gone again", notify)

    def _failed(self, pod_uid: str, image: str, error: str, notify: Notify) -> Held:
        before = self._failures.get((pod_uid, image))
        delay_s = PULL_BACKOFF_FIRST_S if before is None else min(PULL_BACKOFF_MAX_S, before.delay_s * 2)
        self._failures[pod_uid, image] = _Failure(delay_s, self._clock(), error)
        notify("Warning", "Failed", f'Failed to pull image "{image}": {error}')
        notify("Warning", "Failed", "Error: ErrImagePull")
        return Held(Waiting("ErrImagePull", error), self._clock() + RETELL_S)
