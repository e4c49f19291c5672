"""Every namespace has the ConfigMap `kube-root-ca.crt`, by which its pods recognise the API server.

Desired: in each namespace that is not going away, with the cluster's CA certificate. Observed: Namespaces and such
ConfigMaps. Writes: the missing and the changed ones.
"""

from collections.abc import Sequence

import msgspec

from master.api.core.configmap import ConfigMap
from master.api.core.namespace import Namespace
from master.api.meta import ObjectMeta
from master.controllers.base import Context, Controller, Watch

NAME = "kube-root-ca.crt"
KEY = "ca.crt"
DESCRIPTION = "kubernetes.io/description"
DESCRIPTION_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCaController(Controller):
    name = "root-ca-controller"

    def __init__(self, context: Context, *, root_ca: str) -> None:
        super().__init__(context)
        self._root_ca = root_ca
        self._namespaces = context.informers.of(Namespace)
        self._maps = context.informers.of(ConfigMap)

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(Namespace, lambda namespace: (namespace.metadata.name,)),
            Watch(ConfigMap, lambda config: (config.metadata.namespace,) if config.metadata.name == NAME else ()),
        )

    async def reconcile(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or namespace.metadata.deletion_timestamp is not None:
            return None
        existing = self._maps.get(f"{key}/{NAME}")
        data = {KEY: self._root_ca}
        if existing is None:
            meta = ObjectMeta(name=NAME, namespace=key, annotations={DESCRIPTION: DESCRIPTION_TEXT})
            await self.create(key, ConfigMap(metadata=meta, data=data))
        elif existing.data != data:
            await self.update(key, msgspec.structs.replace(existing, data=data, binary_data={}))
        return None
