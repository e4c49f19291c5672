"""When a container that ended is started again: restart policy and the growing pause of CrashLoopBackOff. Pure.

The first restart is immediate; each further one waits, counted from the moment the container ended, ten seconds,
doubled every time up to five minutes. After ten quiet minutes the count begins anew (the kubelet's own figures).
"""

import msgspec

from master.api.core.container import Container
from master.api.core.pod import Pod
from node.engine.base import ContainerState

BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
BACKOFF_RESET_S = 600.0

ALWAYS = "Always"
ON_FAILURE = "OnFailure"
NEVER = "Never"


class RestartBackoff(msgspec.Struct, frozen=True):
    """The pause that the next crash will cost, and when the last restart was decided."""

    delay_s: float
    updated_s: float


def restart_wait_s(backoff: RestartBackoff | None, finished_s: float, now_s: float) -> float:
    """How long the container must still wait; 0 when it may start now."""
    if backoff is None or now_s - backoff.updated_s > BACKOFF_RESET_S:
        return 0.0
    return max(0.0, finished_s + backoff.delay_s - now_s)


def next_backoff(backoff: RestartBackoff | None, now_s: float, finished_s: float) -> RestartBackoff:
    """What to remember when a restart is decided."""
    if backoff is None or finished_s - backoff.updated_s > BACKOFF_RESET_S:
        return RestartBackoff(BACKOFF_FIRST_S, now_s)
    return RestartBackoff(min(BACKOFF_MAX_S, backoff.delay_s * 2), now_s)


def policy_of(pod: Pod) -> str:
    return pod.spec.restart_policy or ALWAYS


def is_sidecar(container: Container) -> bool:
    """An init container that goes on running beside the others."""
    return container.restart_policy == ALWAYS


def may_restart(policy: str, ended: ContainerState) -> bool:
    """Whether the pod's policy lets an ordinary container that ended run again."""
    if policy == ON_FAILURE:
        return ended.exit_code != 0
    return policy != NEVER


def init_may_restart(policy: str) -> bool:
    """A failed init container is tried again unless the policy is Never."""
    return policy != NEVER
