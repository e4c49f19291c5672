"""The store's failures in the API's words, and reads that share a round without reading the past."""

import asyncio

import pytest
from apiserver_memory_store import MemoryStore

from master.api.core.event import Event
from master.api.scheme import SCHEME
from master.api.status import ApiError, OutcomeUnknown
from master.apiserver.event_leases import EventLeases
from master.apiserver.storage import ReadIndex, Storage, Transaction, parse_fence
from raftstore import errors as store_errors
from raftstore.protocol import TxnResult


class FailingStore(MemoryStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def txn(self, *_: object, **__: object) -> TxnResult:
        raise self.error

    async def current_revision(self) -> int:
        raise self.error

    async def lease_grant(self, ttl_s: float) -> int:
        raise self.error


def commit_failing_with(error: Exception) -> ApiError:
    with pytest.raises(ApiError) as caught:
        asyncio.run(Storage(FailingStore(error)).commit(Transaction()))
    return caught.value


def test_an_unknown_outcome_is_never_folded_into_failure() -> None:
    error = commit_failing_with(store_errors.OutcomeUnknown("lost"))
    assert isinstance(error, OutcomeUnknown)
    assert (error.code, error.reason, error.causes[0].reason) == (504, "Timeout", "OutcomeUnknown")


def test_an_unavailable_store_may_be_asked_again() -> None:
    error = commit_failing_with(store_errors.Unavailable("no leader"))
    assert (error.code, error.reason, error.retry_after_s) == (503, "ServiceUnavailable", 1)


def test_a_fenced_write_is_a_conflict_that_says_so() -> None:
    error = commit_failing_with(store_errors.Fenced("epoch 4 is over"))
    assert (error.code, error.reason, error.causes[0].reason) == (409, "Conflict", "Fenced")


def test_a_read_has_no_outcome_to_be_unsure_of() -> None:
    async def read() -> None:
        await ReadIndex(FailingStore(store_errors.OutcomeUnknown("slow"))).current()

    with pytest.raises(ApiError) as caught:
        asyncio.run(read())
    assert caught.value.code == 503


def test_an_event_whose_lease_is_uncertain_was_certainly_not_written() -> None:
    leases = EventLeases(FailingStore(store_errors.OutcomeUnknown("slow")), 3600, lambda: 0.0)
    with pytest.raises(ApiError) as caught:
        asyncio.run(leases.lease_for(SCHEME.by_struct(Event)))
    assert caught.value.code == 503


def test_a_fence_header_is_role_and_epoch() -> None:
    fence = parse_fence("kube-scheduler=7")
    assert fence is not None and (fence.role, fence.epoch) == ("kube-scheduler", 7)
    assert parse_fence("") is None
    for text in ("kube-scheduler", "=7", "a=b"):
        with pytest.raises(ApiError):
            parse_fence(text)


def test_readers_share_a_round_but_never_join_one_under_way() -> None:
    class SlowStore(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.rounds = 0
            self.asked = asyncio.Event()

        async def current_revision(self) -> int:
            self.rounds += 1
            self.asked.set()
            seen = self.revision
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return seen

    async def body() -> tuple[list[int], int, int]:
        store = SlowStore()
        index = ReadIndex(store)
        early = [asyncio.create_task(index.current()) for _ in range(10)]
        await store.asked.wait()
        store.revision = 5  # acknowledged to a client that reads next
        late = await index.current()
        return await asyncio.gather(*early), late, store.rounds

    early, late, rounds = asyncio.run(body())
    assert early == [0] * 10 and late == 5 and rounds == 2
