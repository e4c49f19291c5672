"""policy.eviction types of the Kubernetes API (1.36)."""

from master.api.meta import DeleteOptions, Object


class Eviction(Object):
    delete_options: DeleteOptions | None = None
