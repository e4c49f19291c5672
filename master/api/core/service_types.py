"""The parts of a Service."""

from typing import Annotated

import msgspec

from master.api.meta import Condition
from master.api.model import Int32, IntOrString, MergeBy, Model, required


class ServicePort(Model):
    name: str = ""
    protocol: str = ""
    port: Int32 = required(0)
    target_port: IntOrString | None = None
    node_port: Int32 = 0
    app_protocol: str | None = None


class ClientIPConfig(Model):
    timeout_seconds: Int32 | None = None


class SessionAffinityConfig(Model):
    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(Model):
    ports: Annotated[list[ServicePort], MergeBy("port", keys=("port", "protocol"))] = []
    external_name: str = ""
    external_traffic_policy: str = ""
    health_check_node_port: Int32 = 0
    publish_not_ready_addresses: bool = False
    session_affinity_config: SessionAffinityConfig | None = None
    ip_family_policy: str | None = None
    cluster_ips: list[str] = msgspec.field(default_factory=list, name="clusterIPs")
    ip_families: list[str] = []
    selector: dict[str, str] = {}
    allocate_load_balancer_node_ports: bool | None = None
    load_balancer_class: str | None = None
    internal_traffic_policy: str | None = None
    traffic_distribution: str | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    type: str = ""
    external_ips: list[str] = msgspec.field(default_factory=list, name="externalIPs")
    session_affinity: str = ""
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: list[str] = []


class PortStatus(Model):
    port: Int32 = required(0)
    protocol: str = required("")
    error: str | None = None


class LoadBalancerIngress(Model):
    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None
    ports: list[PortStatus] = []


class LoadBalancerStatus(Model):
    ingress: list[LoadBalancerIngress] = []


class ServiceStatus(Model):
    load_balancer: LoadBalancerStatus = msgspec.field(default_factory=LoadBalancerStatus)
    conditions: Annotated[list[Condition], MergeBy("type")] = []
