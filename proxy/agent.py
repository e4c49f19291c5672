"""The agent of one node: follows Services and EndpointSlices, and keeps rules, DNS records and conntrack in step.

One loop does everything in order: take the services that changed, update DNS (on the event loop), write rules (in a
worker thread, so that DNS answers meanwhile), forget UDP flows that lead to nowhere. Each second it asks the kernel
whether somebody changed the tables, and every half minute it writes them afresh whatever it believes.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from master.api.core.service import Service
from master.api.discovery.endpointslice import EndpointSlice
from master.client.informer import Informer
from master.client.rest import RestClient
from master.client.store import Delta, object_key
from proxy.batching import ChangeBatch
from proxy.config import ProxyConfig
from proxy.conntrack import Frontends, forget_stale_flows, frontends_of, with_removed
from proxy.dns.records import ClusterZone
from proxy.dns.server import DnsServer
from proxy.model import SERVICE_NAME_LABEL, service_key_of
from proxy.state import ServiceState
from proxy.sysctls import apply_sysctls
from proxy.writer import RuleWriter, WriteFailed
from proxy.xtables import LockTimeout

LOG = logging.getLogger(__name__)
DRIFT_CHECK_S = 1.0
FULL_RESYNC_S = 30.0
RETRY_S = 1.0
BY_SERVICE = "service"


class ProxyAgent:
    """Owns everything the proxy does on a node. `run` returns when cancelled; rules stay, as with kube-proxy."""

    def __init__(self, config: ProxyConfig, client: RestClient, writer: RuleWriter) -> None:
        self._config = config
        self._writer = writer
        self._services: Informer[Service] = Informer(client, Service)
        self._slices: Informer[EndpointSlice] = Informer(client, EndpointSlice, label_selector=SERVICE_NAME_LABEL)
        self._slices.add_index(BY_SERVICE, lambda slice_: [service_key_of(slice_)])
        dns = config.dns
        self._state = ServiceState(config.node_name, config.cluster_cidr, [dns.address] if dns else [])
        self._frontends = Frontends({}, {})
        self._worker = ThreadPoolExecutor(1, "rules")
        self._wanted_full = True
        self._last_full_at = 0.0
        self._known = asyncio.Event()
        self.syncs = 0
        self._zone = ClusterZone(dns.domain, dns.address) if dns else None
        self._dns = DnsServer(dns, self._zone) if dns and self._zone else None

    async def run(self) -> None:
        """For ever."""
        apply_sysctls()
        changes = ChangeBatch()
        self._services.add_handler(lambda delta: changes.add(object_key(delta.object)))
        self._slices.add_handler(lambda delta: _mark_slice(delta, changes))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._services.run())
                group.create_task(self._slices.run())
                group.create_task(self._follow(changes))
                if self._dns:
                    await self._known.wait()  # an early answer would say that nothing exists
                    group.create_task(self._dns.run())
        finally:
            self._worker.shutdown(wait=True)

    async def _follow(self, changes: ChangeBatch) -> None:
        # Rules made from half a picture would cut working connections: wait for both lists.
        await self._services.wait_synced(None)
        await self._slices.wait_synced(None)
        LOG.info("%d services, %d endpoint slices known", len(self._services), len(self._slices))
        while True:
            keys = await changes.take(timeout_s=DRIFT_CHECK_S)
            has_changed = self._take_in(keys)
            self._known.set()
            try:
                await self._sync(has_changed)
            except (WriteFailed, OSError, LockTimeout) as error:
                LOG.error("rules could not be written, trying again: %s", error)
                self._wanted_full = True
                await asyncio.sleep(RETRY_S)

    def _take_in(self, keys: Iterable[str]) -> bool:
        for key in keys if self._zone else ():
            assert self._zone
            self._zone.replace(key, self._services.get(key), self._slices_of(key))
        return self._state.refresh(keys, self._services.get, self._slices_of)

    async def _sync(self, has_changed: bool) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if (
            not self._wanted_full
            and not has_changed
            and await loop.run_in_executor(self._worker, self._writer.has_drifted)
        ):
            LOG.info("the tables were changed by somebody else; writing them afresh")
            self._wanted_full = True
        full = self._wanted_full or now - self._last_full_at >= FULL_RESYNC_S
        if not full and not has_changed:
            return
        ruleset = self._state.ruleset()
        started = time.perf_counter()
        written = await loop.run_in_executor(self._worker, lambda: self._writer.apply(ruleset, full=full))
        took_ms = (time.perf_counter() - started) * 1000
        self.syncs += 1
        if full:
            self._wanted_full, self._last_full_at = False, now
            apply_sysctls()
        if has_changed or full:
            LOG.log(logging.INFO if has_changed else logging.DEBUG, "%d chains in %.0f ms", written, took_ms)
        await self._forget_flows(loop)

    async def _forget_flows(self, loop: asyncio.AbstractEventLoop) -> None:
        """After the rules are in place, so that a forgotten flow begins anew by the new rules."""
        frontends = frontends_of(self._state.mappings())
        to_clean = with_removed(frontends, self._frontends)
        await loop.run_in_executor(self._worker, forget_stale_flows, to_clean, self._config.address)
        self._frontends = frontends  # only now: what could not be cleaned is tried again

    def _slices_of(self, key: str) -> list[EndpointSlice]:
        return self._slices.by_index(BY_SERVICE, key)


def _mark_slice(delta: Delta[EndpointSlice], changes: ChangeBatch) -> None:
    """A slice that moved to another service concerns both."""
    for slice_ in (delta.object, delta.old):
        key = service_key_of(slice_) if slice_ else ""
        if key:
            changes.add(key)
