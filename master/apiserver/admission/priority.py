"""The number behind a pod's priority class. The system's two classes are known, all else is 0."""

from master.api.core.pod import Pod
from master.api.core.podspec import PodSpec
from master.api.status import Forbidden
from master.apiserver.admission.attributes import Attributes

SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
PREEMPT = "PreemptLowerPriority"


class Priority:
    async def admit(self, attributes: Attributes) -> None:
        if attributes.subresource or not isinstance(attributes.new, Pod):
            return
        spec = attributes.new.spec
        if attributes.operation == "UPDATE":
            _keep(spec, attributes.old.spec)
            return
        if spec.priority_class_name and spec.priority_class_name not in SYSTEM_CLASSES:
            why = f"no PriorityClass with name {spec.priority_class_name} was found"
            raise Forbidden.of(attributes.info, attributes.name, why)
        spec.priority = SYSTEM_CLASSES.get(spec.priority_class_name, 0)
        spec.preemption_policy = spec.preemption_policy or PREEMPT


def _keep(new: PodSpec, old: PodSpec) -> None:
    """What was resolved at creation, and the update leaves out, stays."""
    if new.priority is None:
        new.priority = old.priority
    new.preemption_policy = new.preemption_policy or old.preemption_policy
