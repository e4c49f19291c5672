"""core.secret types of the Kubernetes API (1.36)."""

from master.api.meta import Object


class Secret(Object):
    data: dict[str, str] = {}
    type: str = ""
    string_data: dict[str, str] = {}
    immutable: bool | None = None
