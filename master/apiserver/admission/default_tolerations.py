"""Every pod tolerates a node that is not ready or unreachable for a short while, unless it says otherwise.

Kubernetes grants 300 s; `default_toleration_s` is the cluster's own choice.
"""

from collections.abc import Iterable

from master.api.core.pod import Pod
from master.api.core.scheduling import Toleration
from master.apiserver.admission.attributes import Attributes

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
NO_EXECUTE = "NoExecute"


class DefaultTolerationSeconds:
    async def admit(self, attributes: Attributes) -> None:
        if attributes.subresource or not isinstance(attributes.new, Pod):
            return
        seconds = attributes.context.config.default_toleration_s
        attributes.new.spec.tolerations = with_default_tolerations(attributes.new.spec.tolerations, seconds)


def with_default_tolerations(tolerations: Iterable[Toleration], seconds: int) -> list[Toleration]:
    result = list(tolerations)
    for key in (NOT_READY, UNREACHABLE):
        if not any(_covers(toleration, key) for toleration in result):
            result.append(Toleration(key=key, operator="Exists", effect=NO_EXECUTE, toleration_seconds=seconds))
    return result


def _covers(toleration: Toleration, key: str) -> bool:
    return toleration.key in ("", key) and toleration.effect in ("", NO_EXECUTE)
