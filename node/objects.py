"""The ConfigMaps and Secrets that pods refer to, as looked-up values, and the cache that fetches them.

Fetched on demand and kept for a short while: a node must not watch all secrets of the cluster to run three pods.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from master.api.core.configmap import ConfigMap
from master.api.core.secret import Secret
from master.api.status import NotFound
from master.client.rest import RestClient

CONFIG_MAP: Literal["ConfigMap"] = "ConfigMap"
SECRET: Literal["Secret"] = "Secret"
FRESH_S = 10.0
"""How long a fetched object is used without asking again; changed volumes follow after at most this and one sync."""
MAX_CACHED = 1000
FETCH_TIMEOUT_S = 10.0


class ConfigError(Exception):
    """The pod's definition cannot be carried out as things are: CreateContainerConfigError."""


class Reference(msgspec.Struct, frozen=True):
    kind: Literal["ConfigMap", "Secret"]
    name: str


class Objects(msgspec.Struct, frozen=True):
    """What was fetched for one pod; an object that does not exist is there as None."""

    found: dict[Reference, ConfigMap | Secret | None] = {}

    def config_map(self, name: str, *, optional: bool) -> ConfigMap | None:
        obj = self.found.get(Reference(CONFIG_MAP, name))
        if obj is None and not optional:
            raise ConfigError(f'configmap "{name}" not found')
        assert obj is None or isinstance(obj, ConfigMap)
        return obj

    def secret(self, name: str, *, optional: bool) -> Secret | None:
        obj = self.found.get(Reference(SECRET, name))
        if obj is None and not optional:
            raise ConfigError(f'secret "{name}" not found')
        assert obj is None or isinstance(obj, Secret)
        return obj


class _Entry(msgspec.Struct):
    obj: ConfigMap | Secret | None
    fetched_s: float


class ObjectCache:
    """`fetch` for a pod whatever it refers to; answers of the last seconds are used again."""

    def __init__(self, client: RestClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._entries: dict[tuple[str, Reference], _Entry] = {}

    async def fetch(self, namespace: str, references: Iterable[Reference]) -> Objects:
        """Raises `ApiError` when the masters cannot be asked; an object that is missing is no error yet."""
        wanted = list(dict.fromkeys(references))
        async with asyncio.timeout(FETCH_TIMEOUT_S):
            fetched = await asyncio.gather(*(self._get(namespace, reference) for reference in wanted))
        return Objects(dict(zip(wanted, fetched, strict=True)))

    async def _get(self, namespace: str, reference: Reference) -> ConfigMap | Secret | None:
        key, now_s = (namespace, reference), self._clock()
        entry = self._entries.get(key)
        # What was missing is asked for again at once: somebody waits for it.
        if entry is not None and entry.obj is not None and now_s - entry.fetched_s < FRESH_S:
            return entry.obj
        obj: ConfigMap | Secret | None
        try:
            if reference.kind == CONFIG_MAP:
                obj = await self._client.get(ConfigMap, reference.name, namespace)
            else:
                obj = await self._client.get(Secret, reference.name, namespace)
        except NotFound:
            obj = None
        if len(self._entries) >= MAX_CACHED:
            self._entries = {k: e for k, e in self._entries.items() if now_s - e.fetched_s < FRESH_S}
        self._entries[key] = _Entry(obj, now_s)
        return obj
