"""core.secret types of the Kubernetes API (1.36)."""

from master.api.meta import Object
from master.api.model import Bytes
from master.api.resource import ResourceInfo


class Secret(Object):
    data: dict[str, Bytes] = {}
    type: str = ""
    string_data: dict[str, str] = {}
    immutable: bool | None = None


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Secret",
        plural="secrets",
        singular="secret",
        struct=Secret,
    ),
)
