"""coordination.lease types of the Kubernetes API (1.36)."""

import msgspec

from master.api.meta import Object
from master.api.model import Int32, MicroTime, Model
from master.api.resource import AGE, NAME, Cell, Column, ResourceInfo
from master.api.status import FieldError
from master.api.strategy import Strategy
from master.api.timestamps import age
from master.api.validation.metadata import at_least_zero, validate_metadata, validate_metadata_update


class LeaseSpec(Model):
    holder_identity: str | None = None
    lease_duration_seconds: Int32 | None = None
    acquire_time: MicroTime | None = None
    renew_time: MicroTime | None = None
    lease_transitions: Int32 | None = None
    strategy: str | None = None
    preferred_holder: str | None = None


class Lease(Object):
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


def validate(lease: Lease) -> list[FieldError]:
    errors = validate_metadata(lease.metadata)
    duration_s = lease.spec.lease_duration_seconds
    if duration_s is not None and duration_s <= 0:
        errors.append(FieldError.invalid("spec.leaseDurationSeconds", duration_s, "must be greater than 0"))
    return errors + at_least_zero("spec.leaseTransitions", lease.spec.lease_transitions)


def validate_update(new: Lease, old: Lease) -> list[FieldError]:
    return validate_metadata_update(new.metadata, old.metadata) + validate(new)


def cells(lease: Lease, now_s: float) -> list[Cell]:
    return [lease.metadata.name, lease.spec.holder_identity or "", age(lease.metadata.creation_timestamp, now_s)]


RESOURCES = (
    ResourceInfo(
        group="coordination.k8s.io",
        version="v1",
        kind="Lease",
        plural="leases",
        singular="lease",
        struct=Lease,
        strategy=Strategy(allow_create_on_update=True, must_set_version=True),
        validate=validate,
        validate_update=validate_update,
        columns=(NAME, Column("Holder"), AGE),
        cells=cells,
    ),
)
