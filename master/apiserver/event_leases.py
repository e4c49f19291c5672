"""Events expire: each is bound to a store lease that outlives it by a little.

One lease serves all events of a minute (Kubernetes does the same with etcd's leases): a lease per event would cost a
second commit for each.
"""

from collections.abc import Callable

from master.api.scheme import ResourceInfo
from master.api.status import OutcomeUnknown
from master.apiserver import errors
from master.apiserver.storage import translated
from master.apiserver.store import Store

SHARED_S = 60.0
"""How long one lease takes in events; the first of them live that much longer."""


class EventLeases:
    def __init__(self, client: Store, ttl_s: float, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._client = client
        self._ttl_s = ttl_s
        self._clock = clock
        self._lease = 0
        self._until = 0.0

    async def lease_for(self, info: ResourceInfo) -> int:
        """The lease that an object of this resource is bound to; 0 for everything that does not expire."""
        if info.kind != "Event":
            return 0
        now = self._clock()
        if now >= self._until:
            shared_s = min(SHARED_S, self._ttl_s)
            try:
                with translated():
                    self._lease = await self._client.lease_grant(self._ttl_s + shared_s)
            except OutcomeUnknown as error:  # of the lease; the event was certainly not written
                raise errors.unavailable(error.status.message) from error
            self._until = now + shared_s
        return self._lease
