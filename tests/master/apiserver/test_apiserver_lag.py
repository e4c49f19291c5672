"""Writes through a server whose caches lag behind: what it refuses must be true of the newest state."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import config_for
from apiserver_memory_store import MemoryStore

from master.api.core.configmap import ConfigMap
from master.api.core.namespace import Namespace
from master.api.core.service import Service, ServicePort, ServiceSpec
from master.api.meta import Object, ObjectMeta
from master.api.scheme import SCHEME
from master.api.status import Forbidden, Invalid, ServiceUnavailable
from master.apiserver.admission.services import ip_key
from master.apiserver.bootstrap import SYSTEM_USER, bootstrap
from master.apiserver.context import Context
from master.apiserver.entry import Entry
from master.apiserver.handlers.write import Write, create
from master.apiserver.server import build_context
from raftstore.protocol import Delete, Put, TxnResult, WatchBatch

ADDRESS = "10.0.0.77"


class LaggingStore(MemoryStore):
    """Its events wait while it lags; whoever asks for the newest revision ends that."""

    def __init__(self) -> None:
        super().__init__()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.contended = False
        """Others are always faster: every condition has just ceased to hold."""

    def lag(self) -> None:
        self._flowing.clear()

    async def txn(self, *parts: Any, **more: Any) -> TxnResult:
        if self.contended:
            return TxnResult(succeeded=False, revision=self.revision, results=[None] * len(parts[2]))
        return await super().txn(*parts, **more)

    async def current_revision(self) -> int:
        self._flowing.set()
        return await super().current_revision()

    async def watch(self, prefix: str, *, start_revision: int, with_previous: bool = True) -> AsyncIterator[WatchBatch]:
        async for batch in super().watch(prefix, start_revision=start_revision, with_previous=with_previous):
            await self._flowing.wait()
            yield batch


def with_server(authority: TestAuthority, scenario: Callable[[LaggingStore, Context], Awaitable[None]]) -> None:
    async def run() -> None:
        store = LaggingStore()
        context = build_context(config_for(authority, 1, []), store)
        following = asyncio.create_task(context.feed.run())
        try:
            await bootstrap(context)
            await scenario(store, context)
        finally:
            following.cancel()

    asyncio.run(asyncio.wait_for(run(), 20))


async def make(context: Context, obj: Object) -> Entry:
    info = SCHEME.by_struct(type(obj))
    body = info.encode(obj)
    return await create(Write(context, info, obj.metadata.namespace, SYSTEM_USER), lambda: info.decode(body))


def service(name: str) -> Service:
    spec = ServiceSpec(cluster_ip=ADDRESS, ports=[ServicePort(port=80)])
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)


def config_map(namespace: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="one", namespace=namespace))


def test_an_address_that_was_given_back_elsewhere_can_be_asked_for(authority: TestAuthority) -> None:
    async def scenario(store: LaggingStore, context: Context) -> None:
        await make(context, service("one"))
        with pytest.raises(Invalid, match="already allocated"):
            await make(context, service("two"))
        store.lag()
        await store.txn([], [Delete(ip_key(ADDRESS))])
        await make(context, service("two"))

    with_server(authority, scenario)


def test_a_namespace_that_was_made_anew_elsewhere_takes_new_content(authority: TestAuthority) -> None:
    async def scenario(store: LaggingStore, context: Context) -> None:
        info = SCHEME.by_struct(Namespace)
        key = Write(context, info, "", SYSTEM_USER, "again").key()
        await make(context, Namespace(metadata=ObjectMeta(name="again")))
        anew = store.data[key].value
        gone = info.decode(anew)
        gone.status.phase = "Terminating"
        await store.txn([], [Put(key, info.encode(gone))])
        with pytest.raises(Forbidden, match="being terminated"):
            await make(context, config_map("again"))
        store.lag()
        await store.txn([], [Put(key, anew)])
        await make(context, config_map("again"))

    with_server(authority, scenario)


def test_a_name_that_is_free_is_never_said_to_be_taken(authority: TestAuthority) -> None:
    async def scenario(store: LaggingStore, context: Context) -> None:
        store.contended = True
        with pytest.raises(ServiceUnavailable):
            await make(context, config_map("default"))

    with_server(authority, scenario)
