"""core.serviceaccount types of the Kubernetes API (1.36)."""

from typing import Annotated

from master.api.core.references import LocalObjectReference, ObjectReference
from master.api.meta import Object
from master.api.model import MergeBy
from master.api.resource import ResourceInfo, Subresource
from master.api.strategy import Strategy


class ServiceAccount(Object):
    secrets: Annotated[list[ObjectReference], MergeBy("name")] = []
    image_pull_secrets: list[LocalObjectReference] = []
    automount_service_account_token: bool | None = None


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="ServiceAccount",
        plural="serviceaccounts",
        singular="serviceaccount",
        short_names=("sa",),
        struct=ServiceAccount,
        subresources={"token": Subresource("authentication.k8s.io", "v1", "TokenRequest", ("create",))},
        strategy=Strategy(delete_returns_object=True),
    ),
)
