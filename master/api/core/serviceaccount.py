"""core.serviceaccount types of the Kubernetes API (1.36)."""

from typing import Annotated

from master.api.core.references import LocalObjectReference, ObjectReference
from master.api.meta import Object
from master.api.model import MergeBy


class ServiceAccount(Object):
    secrets: Annotated[list[ObjectReference], MergeBy("name")] = []
    image_pull_secrets: list[LocalObjectReference] = []
    automount_service_account_token: bool | None = None
