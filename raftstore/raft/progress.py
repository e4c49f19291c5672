"""What the leader knows of one follower. Pure bookkeeping, after etcd's Progress: probe, then replicate.

While probing (where do our logs part?) one message is under way at a time. Once an answer has shown where the
follower stands, entries are streamed ahead of the answers, up to a window of bytes. Sequences tell answers to
messages sent before the last return to probing from those after it, which alone may move anything back.
"""

from dataclasses import dataclass

from raftstore.raft.seams import SnapshotSource


@dataclass(slots=True)
class SnapshotTransfer:
    """A snapshot on its way to the follower; one piece is under way at a time."""

    source: SnapshotSource
    offset: int = 0
    resend_at_s: float = 0.0


@dataclass(slots=True)
class Progress:
    """One follower's state in the current term."""

    next_index: int
    last_reply_s: float
    match_index: int = 0
    is_probing: bool = True
    first_valid_sequence: int = 0
    probe_again_s: float = 0.0
    bytes_in_flight: int = 0
    entries_sequence: int = 0
    acknowledged_round: int = 0
    transfer: SnapshotTransfer | None = None

    def probe(self, next_index: int, sequence: int) -> None:
        """Go back to probing at an index; answers before `sequence` no longer count for it."""
        self.is_probing = True
        self.first_valid_sequence = sequence
        self.probe_again_s = 0.0
        self.bytes_in_flight = 0
        self.next_index = next_index

    def verified(self, index: int) -> None:
        """The follower's log agrees with ours up to an index."""
        self.match_index = max(self.match_index, index)

    def replicate(self) -> None:
        """An answer has shown where the follower stands: stream from there."""
        if self.is_probing:
            self.is_probing = False
            self.next_index = self.match_index + 1
        self.next_index = max(self.next_index, self.match_index + 1)

    def has_lost_entries(self, answered_sequence: int) -> bool:
        """Whether an answer to a later message shows that streamed entries, or their answers, never arrived."""
        later = answered_sequence > self.entries_sequence
        return later and not self.is_probing and self.match_index + 1 < self.next_index

    def end_transfer(self) -> None:
        """Forget a snapshot that was being sent."""
        if self.transfer is not None:
            self.transfer.source.close()
            self.transfer = None


def quorum_value(values: list[int], quorum: int) -> int:
    """The greatest value that at least `quorum` members have reached."""
    return sorted(values, reverse=True)[quorum - 1]
