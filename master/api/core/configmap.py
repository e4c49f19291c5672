"""core.configmap types of the Kubernetes API (1.36)."""

from master.api.meta import Object


class ConfigMap(Object):
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool | None = None
