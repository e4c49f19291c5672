"""The status that a new pod begins with: Pending, and the quality of service its resources earn."""

from collections.abc import Iterable

from master.api.core.container import Container
from master.api.core.pod import Pod
from master.api.core.pod import PodStatus as PodStatusType
from master.api.model import Quantity
from master.api.quantity import parse_quantity
from master.apiserver.admission.attributes import Attributes

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
COMPUTE = ("cpu", "memory")


class PodStatus:
    async def admit(self, attributes: Attributes) -> None:
        if attributes.operation != "CREATE" or attributes.subresource or not isinstance(attributes.new, Pod):
            return
        spec = attributes.new.spec
        qos = quality_of_service([*spec.init_containers, *spec.containers])
        attributes.new.status = PodStatusType(phase="Pending", qos_class=qos)


def quality_of_service(containers: Iterable[Container]) -> str:
    """Guaranteed: every container limits CPU and memory and asks for no less; BestEffort: nobody asks for anything."""
    anything, guaranteed = False, True
    for container in containers:
        resources = container.resources
        requests, limits = _positive(resources.requests), _positive(resources.limits)
        anything = anything or bool(requests or limits)
        if set(limits) != set(COMPUTE) or {**limits, **requests} != limits:
            guaranteed = False
    if not anything:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def _positive(amounts: dict[str, Quantity]) -> dict[str, object]:
    parsed = {name: parse_quantity(amount) for name, amount in amounts.items() if name in COMPUTE}
    return {name: amount for name, amount in parsed.items() if amount > 0}
