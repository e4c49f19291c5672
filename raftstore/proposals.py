"""Group commit: the proposals that arrive within a tick become one log entry (a `Batch`).

A few entries may be under way at once; while they are, new proposals gather, so batches grow by themselves when
the disk or the network is slow. Proposals are passed on as the bytes that the client encoded.
"""

from collections import deque
from typing import Final, Literal, NamedTuple

from msgspec import Raw

from raftstore.answers import Answer, failure, result_frame
from raftstore.protocol import Result
from raftstore.raft.base import DISCARDED, NOT_LEADER, SUCCESS, Outcome
from raftstore.raft.core import RaftCore
from raftstore.state import encode_batch

MAX_BATCH_BYTES: Final = 1 << 20
MAX_ENTRIES_UNDER_WAY: Final = 4
MAX_WAITING_PROPOSALS: Final = 16_384
MAX_WAITING_BYTES: Final = 64 << 20

_NOT_APPLIED: Final = (NOT_LEADER, DISCARDED)


class _Waiting(NamedTuple):
    request_id: int
    proposal: Raw
    size_bytes: int
    answer: Answer


class Proposals:
    """The leader's queue between clients and the log."""

    def __init__(self, core: RaftCore) -> None:
        self._core = core
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._entries_under_way = 0

    @property
    def is_ready(self) -> bool:
        """Whether the next tick would propose something."""
        return bool(self._waiting) and self._entries_under_way < MAX_ENTRIES_UNDER_WAY

    def add(self, request_id: int, proposal: Raw, size_bytes: int, answer: Answer) -> None:
        """Take a proposal for the next entry."""
        if len(self._waiting) >= MAX_WAITING_PROPOSALS or self._waiting_bytes >= MAX_WAITING_BYTES:
            answer(failure(request_id, "unavailable", "too many writes are waiting"))
            return
        self._waiting.append(_Waiting(request_id, proposal, size_bytes, answer))
        self._waiting_bytes += size_bytes

    def propose(self, time_ms: int) -> None:
        """Turn what is waiting into entries, as many as may be under way."""
        while self.is_ready:
            if not self._core.is_leader:
                self._refuse_all()
                return
            batch: list[_Waiting] = []
            size_bytes = 0
            while self._waiting and (not batch or size_bytes + self._waiting[0].size_bytes <= MAX_BATCH_BYTES):
                batch.append(self._waiting.popleft())
                size_bytes += batch[-1].size_bytes
            self._waiting_bytes -= size_bytes
            self._propose_batch(time_ms, batch)

    def _propose_batch(self, time_ms: int, batch: list[_Waiting]) -> None:
        def decided(results: list[Result] | None, outcome: Outcome) -> None:
            self._entries_under_way -= 1
            if outcome == SUCCESS and results is not None:
                for waiting, result in zip(batch, results, strict=True):
                    waiting.answer(result_frame(waiting.request_id, result))
                return
            code, message = _explain(outcome)
            for waiting in batch:
                waiting.answer(failure(waiting.request_id, code, message))

        self._entries_under_way += 1
        self._core.propose(encode_batch(time_ms, [waiting.proposal for waiting in batch]), decided)

    def _refuse_all(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            waiting.answer(failure(waiting.request_id, "unavailable", "this member no longer leads"))
        self._waiting_bytes = 0


def _explain(outcome: Outcome) -> tuple[Literal["unavailable", "unknown"], str]:
    if outcome in _NOT_APPLIED:
        return "unavailable", "the leader changed before the write was logged"
    return "unknown", "the leader changed while the write was under way"
