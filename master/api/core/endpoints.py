"""core.endpoints types of the Kubernetes API (1.36)."""

from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.model import Int32, Model, required
from master.api.resource import ResourceInfo
from master.api.strategy import Strategy


class EndpointAddress(Model):
    ip: str = required("")
    target_ref: ObjectReference | None = None
    hostname: str = ""
    node_name: str | None = None


class EndpointPort(Model):
    name: str = ""
    port: Int32 = required(0)
    protocol: str = ""
    app_protocol: str | None = None


class EndpointSubset(Model):
    addresses: list[EndpointAddress] = []
    not_ready_addresses: list[EndpointAddress] = []
    ports: list[EndpointPort] = []


class Endpoints(Object):
    subsets: list[EndpointSubset] = []


RESOURCES = (
    ResourceInfo(
        group="",
        version="v1",
        kind="Endpoints",
        plural="endpoints",
        singular="endpoints",
        short_names=("ep",),
        struct=Endpoints,
        strategy=Strategy(allow_create_on_update=True),
    ),
)
