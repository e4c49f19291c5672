"""Requests on their way from the member a client is connected to, to the leader, and the answers back.

Frames travel as they are. A forward whose leader is lost, or leads no more, is answered `unknown`: the write may have
been logged, and the client repeats it under the same sequence, which is applied once.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from raftstore.answers import Answer, failure
from raftstore.raft.messages import Forward, ForwardReply, PeerMessage

MAX_FORWARDED: Final = 16_384


class Forwarding:
    """The requests of this member's clients that others are working on."""

    def __init__(self, send: Callable[[str, PeerMessage], bool], random: Random) -> None:
        self._send = send
        # A number from a former life of this process must never match.
        self._next_id = random.getrandbits(40) << 20
        self._waiting: dict[int, tuple[str, int, Answer]] = {}

    def forward(self, leader: str, request_id: int, frame: bytes, answer: Answer) -> None:
        """Pass a client's frame on to the leader."""
        if not leader:
            answer(failure(request_id, "unavailable", "there is no leader"))
            return
        if len(self._waiting) >= MAX_FORWARDED:
            answer(failure(request_id, "unavailable", "too many requests are waiting for the leader"))
            return
        self._next_id += 1
        self._waiting[self._next_id] = (leader, request_id, answer)
        if not self._send(leader, Forward(self._next_id, frame)):
            del self._waiting[self._next_id]
            answer(failure(request_id, "unavailable", f"there is no connection to the leader {leader}"))

    def answered(self, peer: str, message: ForwardReply) -> None:
        """An answer has come back."""
        waiting = self._waiting.get(message.forward_id)
        if waiting is not None and waiting[0] == peer:
            del self._waiting[message.forward_id]
            waiting[2](message.frame)

    def peer_lost(self, peer: str) -> None:
        """The answers that were expected from there will not come."""
        self._give_up([key for key, waiting in self._waiting.items() if waiting[0] == peer], "the connection broke")

    def leader_changed(self, leader: str) -> None:
        """This member follows another, or nobody: the former leader may be dead without its connections knowing.

        Waiting for the connection's silence to be noticed would cost clients seconds; asking again is safe."""
        stale = [key for key, waiting in self._waiting.items() if waiting[0] != leader]
        self._give_up(stale, "it does not lead any more")

    def _give_up(self, forward_ids: list[int], reason: str) -> None:
        for forward_id in forward_ids:
            peer, request_id, answer = self._waiting.pop(forward_id)
            answer(failure(request_id, "unknown", f"no answer from the leader {peer}: {reason}"))
