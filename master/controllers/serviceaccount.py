"""Every namespace has the ServiceAccount `default`, under which pods run that name no other.

Desired: one in each namespace that is not going away. Observed: Namespaces and ServiceAccounts of that name.
Writes: the missing ones.
"""

from collections.abc import Sequence

from master.api.core.namespace import Namespace
from master.api.core.serviceaccount import ServiceAccount
from master.api.meta import ObjectMeta
from master.controllers.base import Context, Controller, Watch

DEFAULT = "default"


class ServiceAccountController(Controller):
    name = "serviceaccount-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._namespaces = context.informers.of(Namespace)
        self._accounts = context.informers.of(ServiceAccount)

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(Namespace, lambda namespace: (namespace.metadata.name,)),
            Watch(
                ServiceAccount,
                lambda account: (account.metadata.namespace,) if account.metadata.name == DEFAULT else (),
            ),
        )

    async def reconcile(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or namespace.metadata.deletion_timestamp is not None:
            return None
        if self._accounts.get(f"{key}/{DEFAULT}") is None:
            await self.create(key, ServiceAccount(metadata=ObjectMeta(name=DEFAULT, namespace=key)))
        return None
