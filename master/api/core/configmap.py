"""core.configmap types of the Kubernetes API (1.36)."""

from master.api.meta import Object
from master.api.model import Bytes
from master.api.resource import ResourceInfo


class ConfigMap(Object):
    data: dict[str, str] = {}
    binary_data: dict[str, Bytes] = {}
    immutable: bool | None = None


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="ConfigMap",
        plural="configmaps",
        singular="configmap",
        short_names=("cm",),
        struct=ConfigMap,
    ),
)
