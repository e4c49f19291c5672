"""Metadata that every object carries, and the small messages of the API machinery itself (meta.k8s.io/v1)."""

from typing import Annotated, Any

import msgspec

from master.api.model import MERGE_SET, Int32, MergeBy, Model, Time, required


class ManagedFieldsEntry(Model):
    manager: str = ""
    operation: str = ""
    api_version: str = ""
    time: Time | None = None
    fields_type: str = ""
    fields_v1: dict[str, Any] | None = None
    subresource: str = ""


class OwnerReference(Model):
    name: str = required("")
    kind: str = required("")
    uid: str = required("")
    api_version: str = required("")
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    name: str = ""
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: Annotated[list[OwnerReference], MergeBy("uid")] = []
    finalizers: Annotated[list[str], MERGE_SET] = []
    managed_fields: list[ManagedFieldsEntry] = []
    generate_name: str = ""
    namespace: str = ""
    self_link: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None


class LabelSelectorRequirement(Model):
    key: str = required("")
    operator: str = required("")
    values: list[str] = []


class LabelSelector(Model):
    match_labels: dict[str, str] = {}
    match_expressions: list[LabelSelectorRequirement] = []


class Condition(Model):
    type: str = required("")
    status: str = required("")
    observed_generation: int = 0
    last_transition_time: Time | None = None
    reason: str = required("")
    message: str = required("")


class Preconditions(Model):
    uid: str | None = None
    resource_version: str | None = None


class DeleteOptions(Model):
    grace_period_seconds: int | None = None
    preconditions: Preconditions | None = None
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    dry_run: list[str] = []
    ignore_store_read_error_with_cluster_breaking_potential: bool | None = None
    api_version: str = ""
    kind: str = ""


class ShardInfo(Model):
    selector: str = required("")


class ListMeta(Model):
    self_link: str = ""
    resource_version: str = ""
    continue_: str = ""
    remaining_item_count: int | None = None
    shard_info: ShardInfo | None = None


class StatusCause(Model):
    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Model):
    name: str = ""
    group: str = ""
    kind: str = ""
    causes: list[StatusCause] = []
    retry_after_seconds: Int32 = 0
    uid: str = ""


class Status(Model):
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    status: str = ""
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: Int32 = 0
    api_version: str = ""
    kind: str = ""


class Object(Model):
    """Anything that is stored: `kind`, `apiVersion`, `metadata`, and what its kind adds."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
