"""The plugins in their order. Each decides for itself which writes concern it.

First `admit`: refuse, or fill in what the client left out; then the kind's strategy, which compares with the stored
object and counts generations; then `claim`, for what the finished object holds outside of itself.
"""

from master.apiserver.admission.attributes import Attributes, Plugin
from master.apiserver.admission.default_tolerations import DefaultTolerationSeconds
from master.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from master.apiserver.admission.priority import Priority
from master.apiserver.admission.service_account import ServiceAccount
from master.apiserver.admission.services import ServiceAllocation

ADMITTING: tuple[Plugin, ...] = (
    NamespaceLifecycle(),
    ServiceAccount(),
    DefaultTolerationSeconds(),
    Priority(),
)
CLAIMING: tuple[Plugin, ...] = (ServiceAllocation(),)


async def admit(attributes: Attributes) -> None:
    for plugin in ADMITTING:
        await plugin.admit(attributes)


async def claim(attributes: Attributes) -> None:
    for plugin in CLAIMING:
        await plugin.admit(attributes)
