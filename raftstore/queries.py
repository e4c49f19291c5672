"""Reads: at once from this member's own state, or after the barrier that makes them linearizable.

All reads of a tick share one barrier: the leader's read index, then this member's applied index.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from raftstore.answers import Answer, error_frame, failure, reply
from raftstore.errors import InvalidArgument, StoreError
from raftstore.mvcc import KeySpace
from raftstore.protocol import GetQuery, Query, RangeQuery, RevisionQuery
from raftstore.raft.core import RaftCore
from raftstore.state import StateMachine

MAX_WAITING_QUERIES: Final = 16_384

Deferred = Callable[[bool], None]
"""Runs once the barrier has been passed (True), or cannot be (False)."""


class Queries:
    """Reads that wait, and how they are answered."""

    def __init__(self, core: RaftCore, machine: StateMachine) -> None:
        self._core = core
        self._machine = machine
        self._new: list[Deferred] = []
        self._waiting_for_index: deque[tuple[int, list[Deferred]]] = deque()
        self._waiting = 0

    def submit(self, request_id: int, query: Query, *, linearizable: bool, answer: Answer) -> None:
        """Answer a query, now or when it is safe."""
        if not linearizable:
            answer(self._run(request_id, query))
            return

        def after_barrier(passed: bool) -> None:
            answer(self._run(request_id, query) if passed else _no_leader(request_id))

        if not self.after_barrier(after_barrier):
            answer(failure(request_id, "unavailable", "too many reads are waiting"))

    def after_barrier(self, deferred: Deferred) -> bool:
        """Run something once this member has applied all that was acknowledged before now; False: no room."""
        if self._waiting >= MAX_WAITING_QUERIES:
            return False
        self._waiting += 1
        self._new.append(deferred)
        return True

    def start_round(self) -> None:
        """Ask for one barrier for all that has come in since the last one."""
        if not self._new:
            return
        batch, self._new = self._new, []

        def found(index: int) -> None:
            if not index:
                self._finish(batch, passed=False)
            elif self._core.raftLastApplied >= index:
                self._finish(batch, passed=True)
            else:
                self._waiting_for_index.append((index, batch))

        self._core.read_index(found)

    def applied(self) -> None:
        """The applied index may have moved: answer what waited for it."""
        for _ in range(len(self._waiting_for_index)):
            index, batch = self._waiting_for_index.popleft()
            if self._core.raftLastApplied >= index:
                self._finish(batch, passed=True)
            else:
                self._waiting_for_index.append((index, batch))

    def _finish(self, batch: list[Deferred], *, passed: bool) -> None:
        self._waiting -= len(batch)
        for deferred in batch:
            deferred(passed)

    def _run(self, request_id: int, query: Query) -> bytes:
        try:
            return reply(request_id, _evaluate(query, self._machine.space))
        except StoreError as error:
            return error_frame(request_id, error)


def _no_leader(request_id: int) -> bytes:
    return failure(request_id, "unavailable", "no leader answers")


def _evaluate(query: Query, space: KeySpace) -> object:
    match query:
        case GetQuery(key, revision):
            return space.get_at(key, revision)
        case RangeQuery(prefix, start_key, revision, limit):
            if limit < 0:
                raise InvalidArgument("a limit may not be negative")
            return space.range(prefix, start_key=start_key, revision=revision, limit=limit)
        case RevisionQuery():
            return space.revision
