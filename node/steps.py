"""The orders that a pod's worker carries out, and the list of them. Pure data."""

import msgspec

from node.facts import Waiting
from node.restarts import RestartBackoff


class CreateSandbox(msgspec.Struct, frozen=True):
    attempt: int


class StartContainer(msgspec.Struct, frozen=True):
    """`backoff` is to be remembered once it was started: it is what the next crash will cost."""

    name: str
    attempt: int
    backoff: RestartBackoff | None = None


class StopContainer(msgspec.Struct, frozen=True):
    container_id: str
    name: str
    grace_s: float
    message: str


class StopSandbox(msgspec.Struct, frozen=True):
    sandbox_id: str


class RemoveContainer(msgspec.Struct, frozen=True):
    container_id: str


class RemoveSandbox(msgspec.Struct, frozen=True):
    sandbox_id: str


Action = CreateSandbox | StartContainer | StopContainer | StopSandbox | RemoveContainer | RemoveSandbox


class Plan(msgspec.Struct):
    """Orders in sequence, what holds containers back, and when to look again at the latest."""

    actions: list[Action] = []
    waiting: dict[str, Waiting] = {}
    wake_at_s: float | None = None
    finished: bool = False

    def wake_at(self, moment_s: float) -> None:
        self.wake_at_s = moment_s if self.wake_at_s is None else min(self.wake_at_s, moment_s)
