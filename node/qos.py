"""The quality-of-service class of a pod: Guaranteed, Burstable or BestEffort. Pure."""

from master.api.core.pod import Pod
from master.api.quantity import milli

COUNTED = ("cpu", "memory")


def qos_class(pod: Pod) -> str:
    """Guaranteed when every container has limits equal to its requests for both CPU and memory."""
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    asks, limits_everything = False, True
    for container in containers:
        requests, limits = container.resources.requests, container.resources.limits
        for name in COUNTED:
            request, limit = milli(requests.get(name, 0)), milli(limits.get(name, 0))
            asks = asks or request > 0 or limit > 0
            if limit == 0 or (name in requests and request != limit):
                limits_everything = False
    if not asks:
        return "BestEffort"
    return "Guaranteed" if limits_everything else "Burstable"
