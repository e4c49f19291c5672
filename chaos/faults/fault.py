"""What every fault can do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Fault(Protocol):
    """A fault. Arming twice or disarming without arming does no harm, and another process may disarm: what is armed
    is written in the kernel, not in the object. Methods block for milliseconds."""

    @property
    def name(self) -> str:
        """Short and stable: "kill node-1"."""

    def arm(self) -> None:
        """Let it happen."""

    def disarm(self) -> None:
        """Undo it as far as the world can: a killed host is started, a cut link joined."""

    def describe(self) -> str:
        """One sentence for reports."""


@contextmanager
def armed(fault: Fault) -> Iterator[Fault]:
    """The fault holds inside the block and is undone on every way out."""
    try:
        fault.arm()
        yield fault
    finally:
        fault.disarm()
