"""core.references types of the Kubernetes API (1.36)."""

from master.api.model import Model, required


class LocalObjectReference(Model):
    name: str = ""


class TypedLocalObjectReference(Model):
    name: str = required("")
    api_group: str | None = None
    kind: str = required("")


class TypedObjectReference(Model):
    name: str = required("")
    api_group: str | None = None
    kind: str = required("")
    namespace: str | None = None


class ObjectReference(Model):
    name: str = ""
    kind: str = ""
    namespace: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""
