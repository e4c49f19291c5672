"""Compaction: the store forgets history that no client of this cluster can still need."""

import asyncio
import logging
from collections import deque

from master.apiserver.context import Context
from raftstore.errors import StoreError

log = logging.getLogger("apiserver.compaction")

INTERVAL_S = 60.0
KEPT_ROUNDS = 5
"""History kept, in rounds: five minutes, as kube-apiserver's `--etcd-compaction-interval`."""


async def compact_history(context: Context) -> None:
    """Every server does it; compacting what is compacted already does no harm."""
    await context.feed.loaded.wait()
    seen: deque[int] = deque(maxlen=KEPT_ROUNDS)
    while True:
        seen.append(context.feed.revision)
        await asyncio.sleep(INTERVAL_S)
        if len(seen) == KEPT_ROUNDS and seen[0] > 0:
            try:
                await context.store.compact(seen[0])
            except StoreError as error:
                log.info("compaction at revision %d: %s", seen[0], error)
