"""Which API servers live: each holds a key bound to a store lease, and all of them write the set into the endpoints of
the Service `kubernetes`.

A server that dies lets its lease run out; the others then take its address out. The servers write the same content,
so it does not matter who is first.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import Any

from master.api.core.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from master.api.discovery.endpointslice import (
    Endpoint,
    EndpointConditions,
    EndpointSlice,
)
from master.api.discovery.endpointslice import EndpointPort as SlicePort
from master.api.meta import Object, ObjectMeta
from master.api.scheme import SCHEME
from master.api.status import ApiError, NotFound
from master.apiserver.bootstrap import SYSTEM_USER
from master.apiserver.context import Context
from master.apiserver.handlers.write import Write, create, update
from master.apiserver.keys import MASTER_LEASES
from raftstore.errors import StoreError
from raftstore.protocol import Put

log = logging.getLogger("apiserver.presence")

LEASE_TTL_S = 6.0
KEEPALIVE_S = 2.0
RECONCILE_S = 10.0
REVOKE_S = 1.0
NAME = "kubernetes"
NAMESPACE = "default"


async def hold_lease(context: Context) -> None:
    """Keep this server's key alive; let it go at the end, so that nobody is sent here any more."""
    lease = 0
    try:
        while True:
            try:
                lease = await _renew(context, lease)
            except StoreError as error:
                log.warning("cannot renew this server's lease: %s", error)
            await asyncio.sleep(KEEPALIVE_S)
    finally:
        if lease:
            await _revoke(context, lease)


async def _renew(context: Context, lease: int) -> int:
    key = MASTER_LEASES + context.config.name
    if lease and key in context.feed.masters.values:
        await context.store.lease_keepalive(lease)
        return lease
    lease = await context.store.lease_grant(LEASE_TTL_S)
    await context.store.txn([], [Put(key, context.config.public_address.encode(), lease)])
    await asyncio.sleep(KEEPALIVE_S / 2)  # the cache learns of the key before it is asked about it
    return lease


async def _revoke(context: Context, lease: int) -> None:
    try:
        async with asyncio.timeout(REVOKE_S):
            await context.store.lease_revoke(lease)
    except (StoreError, TimeoutError):
        log.info("the lease was not given back; it runs out by itself")


async def reconcile_endpoints(context: Context) -> None:
    """Write the live servers into the endpoints, on every change of the set and now and then."""
    await context.bootstrapped.wait()
    masters = context.feed.masters
    if not reachable([context.config.public_address]):
        log.warning(
            "%s is a loopback address: this server is not among the endpoints of the Service %s",
            context.config.public_address,
            NAME,
        )
    while True:
        masters.changed.clear()
        addresses = reachable(value.decode() for value in masters.values.values())
        if addresses:
            for obj in (endpoints_of(addresses, context.config.port), slice_of(addresses, context.config.port)):
                await _write(context, obj)
        try:
            async with asyncio.timeout(RECONCILE_S):
                await masters.changed.wait()
        except TimeoutError:
            continue


def reachable(addresses: Iterable[str]) -> list[str]:
    """The addresses that others can reach, in order; endpoints on loopback are refused by validation, rightly."""
    found = {ipaddress.ip_address(address) for address in addresses}
    return [str(address) for address in sorted(found, key=int) if not address.is_loopback]


def endpoints_of(addresses: list[str], port: int) -> Endpoints:
    subset = EndpointSubset(
        addresses=[EndpointAddress(ip=address) for address in addresses],
        ports=[EndpointPort(name="https", port=port, protocol="TCP")],
    )
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return Endpoints(metadata=ObjectMeta(name=NAME, namespace=NAMESPACE, labels=labels), subsets=[subset])


def slice_of(addresses: list[str], port: int) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name=NAME, namespace=NAMESPACE, labels={"kubernetes.io/service-name": NAME}),
        address_type="IPv4",
        endpoints=[Endpoint(addresses=[ip], conditions=EndpointConditions(ready=True)) for ip in addresses],
        ports=[SlicePort(name="https", port=port, protocol="TCP")],
    )


async def _write(context: Context, obj: Object) -> None:
    info = SCHEME.by_struct(type(obj))
    body = info.encode(obj)

    def wanted() -> Any:
        return info.decode(body)

    write = Write(context, info, NAMESPACE, SYSTEM_USER, NAME)
    try:
        try:
            await update(write, _replacement(wanted))
        except NotFound:
            await create(write, wanted)
    except ApiError as error:
        log.warning("cannot write %s %s/%s: %s", info.kind, NAMESPACE, NAME, error.message)


def _replacement(wanted: Callable[[], Any]) -> Callable[[Any], Any]:
    """An update that keeps the stored metadata: only the content is ours."""

    def change(old: Any) -> Any:
        new = wanted()
        new.metadata = old.metadata
        return new

    return change
