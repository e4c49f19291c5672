"""What can go wrong between a client and the store, as exceptions.

The dividing line that matters to a caller: after `Unavailable` (and every refusal) the write was certainly not
applied; after `OutcomeUnknown` it may or may not have been. The two are never folded into one another.
"""


class StoreError(Exception):
    """Any answer of the store other than success."""


class Unavailable(StoreError):
    """No leader, no connection or no room: certainly not applied, so a retry is safe."""


class OutcomeUnknown(StoreError):
    """The request was sent and its fate was not learnt within the time allowed."""


class Compacted(StoreError):
    """The revision asked for is older than the history that is kept."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"history up to revision {compact_revision} has been compacted")
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The revision asked for does not exist yet."""


class Fenced(StoreError):
    """The transaction carried an older epoch than one that the store has already seen for that role."""


class TooLarge(StoreError):
    """A key, a value or a whole request is beyond the store's limits."""


class InvalidArgument(StoreError):
    """The request makes no sense to the store (an empty key, an unknown lease, a key written twice)."""


class FatalStoreError(Exception):
    """The member must stop: its disk or its log cannot be trusted. Never caught below the process's entry point."""
