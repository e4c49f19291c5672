"""coordination.lease types of the Kubernetes API (1.36)."""

import msgspec

from master.api.meta import Object
from master.api.model import Int32, MicroTime, Model
from master.api.resource import ResourceInfo
from master.api.strategy import Strategy


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


RESOURCES = (
    ResourceInfo(
        group="coordination.k8s.io",
        version="v1",
        kind="Lease",
        plural="leases",
        singular="lease",
        struct=Lease,
        strategy=Strategy(allow_create_on_update=True, must_set_version=True),
    ),
)
