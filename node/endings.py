"""Whether a pod is to end, by whose will and how soon. Pure but for the memory of the first order.

A pod ends because it was deleted, because it was deleted by force or its manifest has gone, because nobody knows it,
because its time is up, or because this node has refused it.
"""

import msgspec

from master.api.core.pod import Pod, PodStatus
from master.api.timestamps import parse_rfc3339
from node.facts import Ending
from node.lifecycle import DEFAULT_GRACE_S
from node.mirrors import is_static

ORPHAN_GRACE_S = 1.0
FORCED_GRACE_S = 2.0
"""What is left to a pod that was deleted by force: for the API it is gone already, and nobody waits for it."""


class Endings:
    """The order to end one pod, if there is one; when it grows sharper, the first moment it was given is kept."""

    def __init__(self) -> None:
        self._current: Ending | None = None
        self._rejected: Ending | None = None

    def reject(self, now_s: float, reason: str, message: str) -> None:
        """This node does not take the pod: it fails without ever having run."""
        self._rejected = Ending(0.0, now_s, remove=False, reason=reason, message=message)

    def order(
        self, pod: Pod, status: PodStatus | None, now_s: float, *, is_orphan: bool, is_gone: bool
    ) -> tuple[Ending | None, bool]:
        """The order in force, and whether it is new. `is_gone`: from the API, or from the manifests."""
        wanted = self._wanted(pod, status, now_s, is_orphan=is_orphan, is_gone=is_gone)
        if wanted is None:
            return self._rejected, False
        before = self._current
        if before is not None and (before.remove, before.grace_s) == (wanted.remove, wanted.grace_s):
            return before, False
        began_s = wanted.started_s if before is None else before.started_s
        self._current = msgspec.structs.replace(wanted, started_s=began_s)
        return self._current, True

    def _wanted(
        self, pod: Pod, status: PodStatus | None, now_s: float, *, is_orphan: bool, is_gone: bool
    ) -> Ending | None:
        own_s = pod.spec.termination_grace_period_seconds
        own_grace_s = DEFAULT_GRACE_S if own_s is None else float(own_s)
        if is_orphan:
            return Ending(ORPHAN_GRACE_S, now_s, remove=True)
        if pod.metadata.deletion_timestamp is not None:
            given_s = pod.metadata.deletion_grace_period_seconds
            return Ending(own_grace_s if given_s is None else float(given_s), now_s, remove=True)
        if is_gone:
            return Ending(own_grace_s if is_static(pod) else min(own_grace_s, FORCED_GRACE_S), now_s, remove=True)
        limit_s = deadline_s(pod, status)
        if limit_s is not None and now_s >= limit_s and not has_ended(status):
            message = "Pod was active on the node longer than the specified deadline"
            return Ending(own_grace_s, now_s, remove=False, reason="DeadlineExceeded", message=message)
        if self._current is not None and not self._current.remove:
            return self._current
        return None


def deadline_s(pod: Pod, status: PodStatus | None) -> float | None:
    """When the pod's `activeDeadlineSeconds` are over."""
    seconds = pod.spec.active_deadline_seconds
    started = status.start_time if status is not None else None
    return None if seconds is None or started is None else parse_rfc3339(started) + seconds


def has_ended(status: PodStatus | None) -> bool:
    return status is not None and status.phase in ("Succeeded", "Failed")
