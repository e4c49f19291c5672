"""The feed: what the store's log becomes in the caches, and readers that wait for a revision."""

import asyncio
import json

import pytest
from apiserver_memory_store import MemoryStore

from master.api.core.configmap import ConfigMap
from master.api.scheme import SCHEME
from master.api.status import Timeout
from master.apiserver.feed import Feed
from master.apiserver.keys import resource_prefix
from raftstore.protocol import KeyValue, WatchBatch, WatchEvent

CONFIGMAPS = SCHEME.by_struct(ConfigMap)
PREFIX = resource_prefix(CONFIGMAPS)


def put(name: str, revision: int) -> WatchEvent:
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "a"}}
    value = json.dumps(tree, separators=(",", ":")).encode()
    return WatchEvent("PUT", KeyValue(f"{PREFIX}a/{name}", value, revision, revision, 1))


def deletion(name: str, revision: int) -> WatchEvent:
    return WatchEvent("DELETE", KeyValue(f"{PREFIX}a/{name}", b"", 0, revision, 0))


def test_a_deletion_among_later_events_keeps_its_own_revision() -> None:
    """A batch holds all revisions of a turn; a watch that saw the deletion resumes there and must miss nothing."""
    feed = Feed(MemoryStore(), [CONFIGMAPS])
    feed.apply(WatchBatch(1, [put("one", 1)]))
    feed.apply(WatchBatch(4, [deletion("one", 2), put("two", 3), put("three", 4)]))
    cache = feed.of(CONFIGMAPS)
    assert [change.revision for change in cache.changes_after(1)] == [2, 3, 4]
    resumed = cache.changes_after(cache.changes_after(1)[0].revision)
    assert [change.key for change in resumed] == ["a/two", "a/three"]


def test_readers_that_gave_up_waiting_for_a_revision_leave_nothing_behind() -> None:
    async def scenario() -> None:
        feed = Feed(MemoryStore(), [CONFIGMAPS])
        patient = asyncio.create_task(feed.wait_for(2, timeout_s=20))
        for _ in range(3):
            with pytest.raises(Timeout):
                await feed.wait_for(10**9, timeout_s=0)
        assert len(feed._waiting) == 1
        feed.apply(WatchBatch(2, []))
        await patient
        assert not feed._waiting

    asyncio.run(scenario())
