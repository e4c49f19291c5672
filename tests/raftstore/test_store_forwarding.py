"""A request on its way to a leader is never left waiting for one that leads no more."""

from random import Random

import msgspec

from raftstore.forwarding import Forwarding
from raftstore.raft.messages import Forward, ForwardReply, PeerMessage


class Peers:
    """Remembers what was sent to whom."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def send(self, peer: str, message: PeerMessage) -> bool:
        assert isinstance(message, Forward)
        self.sent.append((peer, message.forward_id))
        return True


def forwarded(peers: Peers, *leaders: str) -> tuple[Forwarding, list[bytes]]:
    forwarding, answers = Forwarding(peers.send, Random(1)), []
    for number, leader in enumerate(leaders):
        forwarding.forward(leader, number, b"frame", answers.append)
    return forwarding, answers


def test_what_waits_for_a_former_leader_is_answered_as_unknown_when_another_leads() -> None:
    forwarding, answers = forwarded(Peers(), "a", "a", "b")
    forwarding.leader_changed("b")
    assert len(answers) == 2 and all("unknown" in repr(msgspec.msgpack.decode(answer)) for answer in answers)


def test_what_waits_is_answered_when_nobody_leads() -> None:
    forwarding, answers = forwarded(Peers(), "a")
    forwarding.leader_changed("")
    assert len(answers) == 1


def test_a_late_answer_of_the_former_leader_is_not_given_twice() -> None:
    peers = Peers()
    forwarding, answers = forwarded(peers, "a")
    forwarding.leader_changed("b")
    forwarding.answered("a", ForwardReply(peers.sent[0][1], b"late"))
    assert len(answers) == 1


def test_an_answer_of_the_present_leader_arrives() -> None:
    peers = Peers()
    forwarding, answers = forwarded(peers, "a")
    forwarding.leader_changed("a")
    forwarding.answered("a", ForwardReply(peers.sent[0][1], b"done"))
    assert answers == [b"done"]
