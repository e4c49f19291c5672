"""policy.eviction types of the Kubernetes API (1.36)."""

from master.api.meta import DeleteOptions, Object
from master.api.resource import ResourceInfo


class Eviction(Object):
    delete_options: DeleteOptions | None = None


RESOURCES = (
    ResourceInfo(
        group="policy",
        version="v1",
        kind="Eviction",
        plural="",
        singular="eviction",
        struct=Eviction,
    ),
)
