"""CPU and memory of a pod as the kernel's figures, and the cgroup that holds them. Pure."""

import msgspec

from master.api.core.container import ResourceRequirements
from master.api.core.pod import Pod
from master.api.model import Quantity
from master.api.quantity import milli, whole
from node.qos import qos_class

SHARES_PER_CPU = 1024
MIN_SHARES = 2
MAX_SHARES = 262144
QUOTA_PERIOD_US = 100_000
MIN_QUOTA_US = 1000
GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000


class KernelLimits(msgspec.Struct, frozen=True):
    """Zero means no limit."""

    cpu_shares: int
    cpu_quota_us: int
    memory_bytes: int


def kernel_limits(resources: ResourceRequirements) -> KernelLimits:
    requests, limits = resources.requests, resources.limits
    # Without a request the limit stands for it, as the API's defaulting has it.
    asked = milli(requests.get("cpu", limits.get("cpu", 0)))
    limit = milli(limits.get("cpu", 0))
    return KernelLimits(
        max(MIN_SHARES, min(MAX_SHARES, asked * SHARES_PER_CPU // 1000)),
        max(MIN_QUOTA_US, limit * QUOTA_PERIOD_US // 1000) if limit else 0,
        whole(limits.get("memory", 0)),
    )


def pod_cgroup(parent: str, pod: Pod) -> str:
    """`<parent>/kubepods[/burstable|/besteffort]/pod<uid>`: Guaranteed pods lie at the top, as upstream."""
    tier = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}[qos_class(pod)]
    return f"{parent.rstrip('/')}/kubepods{tier}/pod{pod.metadata.uid}"


def oom_score_adj(pod: Pod, resources: ResourceRequirements, node_memory_bytes: int) -> int:
    """The less of the node a Burstable container asked for, the sooner it goes when memory runs out."""
    tier = qos_class(pod)
    if tier == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if tier == "BestEffort" or node_memory_bytes <= 0:
        return BEST_EFFORT_OOM_SCORE
    asked = whole(resources.requests.get("memory", 0))
    return min(999, max(3, 1000 - 1000 * asked // node_memory_bytes))


def pod_requests(pod: Pod) -> dict[str, int]:
    """What the pod needs at once, in milli-units: its containers together, or one init container if that is more."""
    total: dict[str, int] = {}
    for container in pod.spec.containers:
        _add(total, container.resources.requests)
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in pod.spec.init_containers:
        need = dict(sidecars)
        _add(need, container.resources.requests)
        if container.restart_policy == "Always":
            sidecars = need
        for name, amount in need.items():
            peak[name] = max(peak.get(name, 0), amount)
    for name, amount in sidecars.items():
        total[name] = total.get(name, 0) + amount
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    _add(total, pod.spec.overhead)
    return total


def _add(total: dict[str, int], amounts: dict[str, Quantity]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + milli(amount)
