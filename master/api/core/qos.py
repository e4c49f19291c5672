"""The quality-of-service class of a pod, out of the requests and limits of its containers."""

from collections.abc import Mapping
from typing import Literal

from master.api.core.podspec import PodSpec
from master.api.model import Quantity
from master.api.quantity import nanos_of

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]
_COUNTED = ("cpu", "memory")


def qos_class(spec: PodSpec) -> QosClass:
    """Guaranteed: every container has cpu and memory limits equal to its requests; BestEffort: nobody has any."""
    containers = [*spec.containers, *spec.init_containers]
    amounts = [
        (_counted(container.resources.requests), _counted(container.resources.limits)) for container in containers
    ]
    if spec.resources is not None:
        pod_level = (_counted(spec.resources.requests), _counted(spec.resources.limits))
        amounts = [pod_level] if any(pod_level) else amounts
    if not any(requests or limits for requests, limits in amounts):
        return "BestEffort"
    # A limit without a request is the request too.
    guaranteed = all(
        limits.keys() == set(_COUNTED) and {**limits, **requests} == limits for requests, limits in amounts
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _counted(amounts: Mapping[str, Quantity]) -> dict[str, int]:
    return {name: nanos for name in _COUNTED if (nanos := nanos_of(amounts.get(name, 0))) > 0}
