"""The plugins in their order. Each decides for itself which writes concern it."""

from master.apiserver.admission.attributes import Attributes, Plugin
from master.apiserver.admission.default_tolerations import DefaultTolerationSeconds
from master.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from master.apiserver.admission.namespaces import NamespaceDefaults
from master.apiserver.admission.pods import PodStatus
from master.apiserver.admission.priority import Priority
from master.apiserver.admission.service_account import ServiceAccount
from master.apiserver.admission.services import ServiceAllocation

PLUGINS: tuple[Plugin, ...] = (
    NamespaceLifecycle(),
    NamespaceDefaults(),
    ServiceAccount(),
    DefaultTolerationSeconds(),
    Priority(),
    PodStatus(),
    ServiceAllocation(),
)


async def admit(attributes: Attributes) -> None:
    for plugin in PLUGINS:
        await plugin.admit(attributes)
