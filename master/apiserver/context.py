"""What handlers work with: the parts of one API server, put together once at start."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from master.api.status import Timeout
from master.apiserver import errors
from master.apiserver.config import ServerConfig
from master.apiserver.event_leases import EventLeases
from master.apiserver.feed import Feed
from master.apiserver.kubelet_client import KubeletClient
from master.apiserver.storage import ReadIndex, Storage
from master.apiserver.store import Store


@dataclass(slots=True)
class Env:
    """Time and chance, so that tests own them."""

    now: Callable[[], float]
    rng: Random

    def uuid(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))


@dataclass(slots=True)
class Context:
    config: ServerConfig
    env: Env
    store: Store
    storage: Storage
    feed: Feed
    read_index: ReadIndex
    event_leases: EventLeases
    kubelets: KubeletClient
    stopping: bool = False
    bootstrapped: asyncio.Event = field(default_factory=asyncio.Event)

    async def catch_up(self) -> None:
        """Wait until the caches hold everything that was acknowledged before this call.

        A server whose caches lag too far says so with a 503: another server may do better.
        """
        revision = await self.read_index.current()
        try:
            await self.feed.wait_for(revision)
        except Timeout as error:
            raise errors.unavailable(f"the watch caches lag behind revision {revision}") from error
