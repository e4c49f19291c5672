"""One informer a kind, shared by every controller of the process; indexes are added once, under well-known names."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from master.api.core.pod import Pod
from master.api.meta import Object
from master.client.informer import Informer
from master.client.rest import RestClient
from master.controllers.owners import controller_of

T = TypeVar("T", bound=Object)

SYNC_TIMEOUT_S = 60.0
"""The first lists of all kinds; a master that cannot answer them for so long should not lead."""

CONTROLLER_INDEX = "controller"
NODE_INDEX = "node"


class Informers:
    """Ask for informers and indexes before `run`; read from them once `wait_synced` returned."""

    def __init__(self, client: RestClient) -> None:
        self._client = client
        self._informers: dict[type[Any], Informer[Any]] = {}
        self._indexes: set[tuple[type[Any], str]] = set()

    def of(self, kind: type[T]) -> Informer[T]:
        informer: Informer[T] | None = self._informers.get(kind)
        if informer is None:
            informer = self._informers[kind] = Informer(self._client, kind)
        return informer

    def indexed(self, kind: type[T], name: str, function: Callable[[T], Iterable[str]]) -> Informer[T]:
        """The kind's informer, which has the index `name` from now on."""
        informer = self.of(kind)
        if (kind, name) not in self._indexes:
            self._indexes.add((kind, name))
            informer.add_index(name, function)
        return informer

    def by_controller(self, kind: type[T]) -> Informer[T]:
        """Indexed by the controlling owner's uid, and objects without one by `orphans_of(namespace)`."""
        return self.indexed(kind, CONTROLLER_INDEX, _controller_values)

    def pods_by_node(self) -> Informer[Pod]:
        return self.indexed(Pod, NODE_INDEX, lambda pod: (pod.spec.node_name,) if pod.spec.node_name else ())

    def all(self) -> list[Informer[Any]]:
        return list(self._informers.values())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for informer in self._informers.values():
                tasks.create_task(informer.run())

    async def wait_synced(self) -> None:
        await asyncio.gather(*(informer.wait_synced(SYNC_TIMEOUT_S) for informer in self._informers.values()))


def orphans_of(namespace: str) -> str:
    """The index value under which a namespace's objects without a controller stand."""
    return f"orphans/{namespace}"


def _controller_values(obj: Object) -> tuple[str]:
    owner = controller_of(obj)
    return (owner.uid,) if owner else (orphans_of(obj.metadata.namespace),)
