"""core.serviceaccount types of the Kubernetes API (1.36)."""

from typing import Annotated

from master.api.core.references import LocalObjectReference, ObjectReference
from master.api.meta import Object
from master.api.model import MergeBy
from master.api.resource import AGE, NAME, Cell, ResourceInfo, Subresource
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import validate_metadata, validate_metadata_update


class ServiceAccount(Object):
    secrets: Annotated[list[ObjectReference], MergeBy("name")] = []
    image_pull_secrets: list[LocalObjectReference] = []
    automount_service_account_token: bool | None = None


def validate(account: ServiceAccount) -> list[FieldError]:
    return validate_metadata(account.metadata)


def validate_update(new: ServiceAccount, old: ServiceAccount) -> list[FieldError]:
    return validate_metadata_update(new.metadata, old.metadata) + validate(new)


def cells(account: ServiceAccount, now_s: float) -> list[Cell]:
    return [account.metadata.name, age(account.metadata.creation_timestamp, now_s)]


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
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, AGE),
        cells=cells,
    ),
)
