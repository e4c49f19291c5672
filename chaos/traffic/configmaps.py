"""Writers of ConfigMaps whose every value is unique: material for the check that no acknowledged write is lost."""

import asyncio
import itertools

from chaos.checkers.acknowledged import WRITE
from chaos.history import History
from master.api.core.configmap import ConfigMap
from master.api.meta import ObjectMeta
from master.api.status import AlreadyExists, ApiError, NotFound, OutcomeUnknown
from master.client.rest import RestClient

FIELD = "value"
PAUSE_AFTER_ERROR_S = 0.05


class ConfigMapWriter:
    """One client that writes its own keys in turn, one call at a time; run several for concurrency.

    A merge patch without a resourceVersion is used: it either sets the value or does not, whatever was there."""

    def __init__(self, client: RestClient, history: History, *, name: str, namespace: str, keys: int = 5) -> None:
        self._client, self._history, self._namespace = client, history, namespace
        self._name = name
        self._keys = [f"{name}-{index}" for index in range(keys)]

    async def run(self) -> None:
        """For ever."""
        for number in itertools.count():
            key = self._keys[number % len(self._keys)]
            if not await self.write(key, f"{self._name}/{number}"):
                await asyncio.sleep(PAUSE_AFTER_ERROR_S)

    async def write(self, key: str, value: str) -> bool:
        """One recorded write; whether it was acknowledged."""
        operation = self._history.call(WRITE, key, value)
        try:
            await self._put(key, value)
        except ApiError as error:
            # A 5xx came from somewhere between us and the store's answer; 503 alone promises that nothing was done.
            is_open = isinstance(error, OutcomeUnknown) or (error.code >= 500 and error.code != 503)
            (self._history.unknown if is_open else self._history.failed)(operation, f"{error.code} {error}")
        except asyncio.CancelledError:
            self._history.unknown(operation, "the writer was stopped")
            raise
        else:
            self._history.ok(operation)
            return True
        return False

    async def _put(self, key: str, value: str) -> None:
        try:
            await self._client.patch(ConfigMap, key, self._namespace, {"data": {FIELD: value}})
        except NotFound:
            metadata = ObjectMeta(name=key, namespace=self._namespace)
            try:
                await self._client.create(ConfigMap(metadata=metadata, data={FIELD: value}))
            except AlreadyExists as error:  # an attempt of ours whose answer got lost may have made it
                raise OutcomeUnknown(error.message) from error


async def read_final_state(client: RestClient, namespace: str) -> dict[str, str]:
    """What the store holds now, in one consistent list."""
    found = await client.list(ConfigMap, namespace)
    return {item.metadata.name: item.data.get(FIELD, "") for item in found.items}
