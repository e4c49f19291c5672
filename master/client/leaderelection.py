"""One leader among equals, by a Lease object, with an epoch that fences off everyone who led before.

A lease alone gives no mutual exclusion: a leader may be stopped at any instruction and go on minutes later. So the
holder judges by its own monotonic clock and gives up before the others may take over, and each term has an *epoch*
that goes with its writes; the store refuses an epoch older than one it has seen. The epoch is the resourceVersion
of the write that took the lease: the store's one counter never goes back, not even when the Lease was deleted.

The pure part is `is_free`; the rest is a loop around four requests.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

import msgspec

from master.api.coordination.lease import Lease, LeaseSpec
from master.api.meta import ObjectMeta
from master.api.status import AlreadyExists, ApiError, Conflict, NotFound
from master.api.timestamps import micro_rfc3339
from master.client.consistency import version_number
from master.client.rest import RestClient

log = logging.getLogger(__name__)

LEASE_DURATION_S = 5.0
RENEW_DEADLINE_S = 3.5
RETRY_PERIOD_S = 1.0
"""client-go's 15 : 10 : 2 cut to a third; the ratio of the first two is the clock rate skew that is tolerated."""
REQUEST_TIMEOUT_S = 1.0
"""A stopped master must leave time to ask the other two within the renew deadline."""
RELEASE_TIMEOUT_S = 1.5
STOP_TIMEOUT_S = 1.5
"""How long a deposed leader's work may take to end: what lies between renew deadline and lease duration."""

Lead = Callable[[int], Awaitable[None]]


class Observation(msgspec.Struct, frozen=True):
    """The lease as last seen to change, and when that was by the local clock (other clocks are not trusted)."""

    version: str
    seen_s: float


def is_free(lease: Lease, observation: Observation, now_s: float, identity: str) -> bool:
    """Nobody holds it, or its holder has not renewed it for its whole duration while we watched.

    Held by ourselves it is free too: we do not lead, so it stems from a write whose answer got lost."""
    if lease.spec.holder_identity in (None, "", identity):
        return True
    return now_s >= observation.seen_s + (lease.spec.lease_duration_seconds or LEASE_DURATION_S)


class LeaderElector:
    """`await run(lead)` for as long as the process wants to lead; `fence` belongs into its `RestClient`."""

    def __init__(
        self,
        client: RestClient,
        *,
        name: str,
        identity: str,
        namespace: str = "kube-system",
        lease_duration_s: float = LEASE_DURATION_S,
        renew_deadline_s: float = RENEW_DEADLINE_S,
        retry_period_s: float = RETRY_PERIOD_S,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        if not lease_duration_s > renew_deadline_s > retry_period_s:
            raise ValueError("lease duration > renew deadline > retry period must hold")
        # Lease writes carry the new fence only once it is known, so this client's own fence must not interfere.
        patience_s = min(REQUEST_TIMEOUT_S, renew_deadline_s / 3)
        self._client = client.with_options(request_timeout_s=patience_s, fence=lambda: self._lease_fence)
        self._name = name
        self._identity = identity
        self._namespace = namespace
        self._lease_duration_s = lease_duration_s
        self._renew_deadline_s = renew_deadline_s
        self._retry_period_s = retry_period_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()
        self._observation = Observation("", 0.0)
        self._lease: Lease | None = None
        self._lease_fence = ""
        self._renewed_s = 0.0
        self.epoch = 0
        self.is_leader = False

    def fence(self) -> str:
        """For `RestClient(fence=…)`. Keeps the last epoch after a loss: late writes must be refused, not unfenced."""
        return f"{self._name}={self.epoch}" if self.epoch else ""

    async def run(self, lead: Lead) -> None:
        """Calls `lead(epoch)` while leading and cancels it on loss; contends again; releases when cancelled."""
        while True:
            await self._acquire()
            try:
                await self._lead(lead)
            finally:
                await self._release()
            await asyncio.sleep(self._retry_period_s)

    async def _acquire(self) -> None:
        while True:
            try:
                if await self._try_take():
                    return
            except (ApiError, OSError) as error:
                log.info("lease %s: %s", self._name, error)
            await asyncio.sleep(self._retry_period_s * self._rng.uniform(0.8, 1.2))

    async def _try_take(self) -> bool:
        started_s = self._clock()
        self._lease_fence = ""
        try:
            found = await self._client.get(Lease, self._name, self._namespace)
        except NotFound:
            return self._took(await self._create(), started_s)
        if found.metadata.resource_version != self._observation.version:
            self._observation = Observation(found.metadata.resource_version, self._clock())
        if not is_free(found, self._observation, self._clock(), self._identity):
            return False
        try:
            return self._took(await self._client.update(self._held(found)), started_s)
        except Conflict:
            return False

    async def _create(self) -> Lease | None:
        lease = Lease(metadata=ObjectMeta(name=self._name, namespace=self._namespace))
        try:
            return await self._client.create(self._held(lease))
        except (AlreadyExists, Conflict):
            return None

    def _took(self, lease: Lease | None, started_s: float) -> bool:
        if lease is None:
            return False
        self._lease = lease
        self._renewed_s = started_s
        self.epoch = version_number(lease.metadata.resource_version)
        self._lease_fence = self.fence()
        return True

    async def _lead(self, lead: Lead) -> None:
        # The first renewal carries the new fence, which shuts out our predecessor before any work begins.
        if not await self._renew_in_time():
            return
        log.info("lease %s: %s leads in epoch %d", self._name, self._identity, self.epoch)
        self.is_leader = True
        work = asyncio.ensure_future(lead(self.epoch))
        try:
            while not work.done():
                # After a pause of the whole process the deadline has passed: then not one more second of work.
                left_s = self._renewed_s + self._renew_deadline_s - self._clock()
                await asyncio.wait({work}, timeout=max(0.0, min(self._retry_period_s, left_s)))
                if not work.done() and not await self._renew_in_time():
                    log.warning("lease %s: %s lost epoch %d", self._name, self._identity, self.epoch)
                    break
        finally:
            self.is_leader = False
            await self._stop(work)

    async def _stop(self, work: "asyncio.Future[None]") -> None:
        work.cancel()
        await asyncio.wait({work}, timeout=STOP_TIMEOUT_S)
        if not work.done():
            log.error("lease %s: the deposed leader's work does not end; the fence must hold", self._name)
        elif not work.cancelled() and (error := work.exception()) is not None:
            log.error("lease %s: leading failed", self._name, exc_info=error)

    async def _renew_in_time(self) -> bool:
        """One success before the deadline, with as many attempts as fit; False means: no longer leader."""
        deadline_s = self._renewed_s + self._renew_deadline_s
        while (left_s := deadline_s - self._clock()) > 0:
            started_s = self._clock()
            try:
                async with asyncio.timeout(left_s):
                    if not await self._renew():
                        return False
                self._renewed_s = started_s
                return True
            except (ApiError, OSError) as error:
                log.info("lease %s: renewal: %s", self._name, error)
            await asyncio.sleep(min(self._retry_period_s / 4, max(0.0, deadline_s - self._clock())))
        return False

    async def _renew(self) -> bool:
        assert self._lease is not None, "only a holder renews"
        try:
            self._lease = await self._client.update(self._held(self._lease))
        except NotFound:
            return False
        except Conflict:
            # Our own earlier renewal may have been applied without an answer; anybody else's write deposes us.
            found = await self._client.get(Lease, self._name, self._namespace)
            if found.spec.holder_identity != self._identity:
                return False
            self._lease = await self._client.update(self._held(found))
        return True

    async def _release(self) -> None:
        """Let the next one take over at once; the lease runs out by itself if this fails."""
        if self._lease is None:
            return
        spec = msgspec.structs.replace(self._lease.spec, holder_identity="", lease_duration_seconds=1)
        lease = msgspec.structs.replace(self._lease, spec=spec)
        self._lease = None
        release = asyncio.ensure_future(self._client.update(lease))
        await asyncio.wait({release}, timeout=RELEASE_TIMEOUT_S)
        if not release.done():
            release.cancel()
        elif not release.cancelled() and (error := release.exception()) is not None:
            log.info("lease %s: not released: %s", self._name, error)

    def _held(self, lease: Lease) -> Lease:
        """The lease as we would hold it from now on."""
        now = micro_rfc3339(self._wall_clock())
        mine = self._lease is not None and lease.spec.holder_identity == self._identity
        spec = LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=max(1, round(self._lease_duration_s)),
            acquire_time=lease.spec.acquire_time if mine else now,
            renew_time=now,
            lease_transitions=(lease.spec.lease_transitions or 0) + (0 if mine else 1),
        )
        return msgspec.structs.replace(lease, spec=spec)
