"""discovery.endpointslice types of the Kubernetes API (1.36)."""

from typing import Annotated

import msgspec

from master.api.core.references import ObjectReference
from master.api.meta import Object
from master.api.model import SET, Int32, Model, required, required_list
from master.api.resource import ResourceInfo
from master.api.strategy import Strategy


class EndpointConditions(Model):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForNode(Model):
    name: str = required("")


class ForZone(Model):
    name: str = required("")


class EndpointHints(Model):
    for_zones: list[ForZone] = []
    for_nodes: list[ForNode] = []


class Endpoint(Model):
    addresses: Annotated[list[str], SET] = required_list()
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    deprecated_topology: dict[str, str] = {}
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Model):
    name: str | None = None
    protocol: str | None = None
    port: Int32 | None = None
    app_protocol: str | None = None


class EndpointSlice(Object):
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] = []
    address_type: str = required("")


RESOURCES = (
    ResourceInfo(
        group="discovery.k8s.io",
        version="v1",
        kind="EndpointSlice",
        plural="endpointslices",
        singular="endpointslice",
        struct=EndpointSlice,
        strategy=Strategy(has_generation=True),
    ),
)
