"""The work queue's promises, as a pure state machine and with real workers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.client.workqueue import RETRY_MAX_S, QueueClosed, QueueCore, WorkQueue

KEYS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), KEYS, st.just(0)),
        st.tuples(st.just("later"), KEYS, st.integers(1, 5)),
        st.tuples(st.just("take"), st.just(""), st.just(0)),
        st.tuples(st.just("done"), KEYS, st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_key_is_ever_in_two_hands_and_no_addition_is_lost(steps: list[tuple[str, str, int]]) -> None:
    queue: QueueCore[str] = QueueCore()
    now = 0
    in_hands: set[str] = set()
    owed: set[str] = set()  # keys that must be handed out once more
    for action, key, number in steps:
        if action == "add":
            queue.add(key)
            owed.add(key)
        elif action == "later":
            queue.add_at(key, now + number)
            owed.add(key)
        elif action == "wait":
            now += number
        elif action == "done" and key in in_hands:
            queue.done(key)
            in_hands.discard(key)
        elif action == "take":
            queue.promote(now)
            taken = queue.take()
            if taken is not None:
                assert taken not in in_hands
                in_hands.add(taken)
                owed.discard(taken)
    for key in in_hands:
        queue.done(key)
    queue.promote(now + 100)
    while (taken := queue.take()) is not None:
        owed.discard(taken)
        queue.done(taken)
    assert not owed


def test_a_key_added_while_it_is_processed_is_queued_again_only_when_done() -> None:
    queue: QueueCore[str] = QueueCore()
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"


def test_of_two_delays_the_shorter_one_counts_and_the_key_comes_once() -> None:
    queue: QueueCore[str] = QueueCore()
    queue.add_at("a", 9.0)
    queue.add_at("a", 3.0)
    queue.promote(2.9)
    assert queue.take() is None
    assert queue.next_due_s() == 3.0
    queue.promote(20.0)
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_retry_pauses_grow_to_a_bound_and_forgetting_starts_afresh() -> None:
    queue: QueueCore[str] = QueueCore()
    pauses = [queue.retry_delay_s("a") for _ in range(40)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_MAX_S
    queue.forget("a")
    assert queue.retry_delay_s("a") == pauses[0]


def test_several_workers_share_the_keys_and_end_when_the_queue_is_shut_down() -> None:
    async def scenario() -> None:
        queue: WorkQueue[int] = WorkQueue("test")
        in_hands: set[int] = set()
        handled: list[int] = []

        async def worker() -> None:
            while True:
                key = await queue.get()
                assert key not in in_hands
                in_hands.add(key)
                await asyncio.sleep(0)
                in_hands.discard(key)
                handled.append(key)
                queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(4)]
        for key in range(50):
            queue.add(key % 10)
            queue.add_after(key + 100, 0.01)
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while len(set(handled)) < 60:  # noqa: ASYNC110 - counts what four workers did
                await asyncio.sleep(0.005)
        queue.shut_down()
        results = await asyncio.gather(*workers, return_exceptions=True)
        assert all(isinstance(result, QueueClosed) for result in results)

    asyncio.run(scenario())


def test_a_delayed_key_wakes_a_waiting_worker_by_itself() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue("test")
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add_after("later", 0.02)
        assert await asyncio.wait_for(waiting, 5) == "later"

    asyncio.run(scenario())


def test_after_shutting_down_an_empty_queue_raises() -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue("test")
        queue.add("left")
        queue.shut_down()
        queue.add("refused")
        assert await queue.get() == "left"
        with pytest.raises(QueueClosed):
            await queue.get()

    asyncio.run(scenario())
