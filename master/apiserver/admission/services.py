"""Cluster IPs and node ports: chosen out of their ranges, held by one key each, released with the Service.

Uniqueness is the store's: the transaction that writes the Service also creates the keys, on condition that they are
absent. What this server knows of taken addresses only makes a good guess; a guess that turns out taken is repeated.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from random import Random
from typing import NamedTuple

from master.api.core.service import Service, ServiceSpec
from master.api.status import FieldError, Invalid, ServiceUnavailable
from master.apiserver.admission.attributes import Attributes
from master.apiserver.keys import ALLOCATIONS, object_key

HEADLESS = "None"
WITH_NODE_PORTS = frozenset({"NodePort", "LoadBalancer"})
RANDOM_TRIES = 32
"""Random picks before the range is searched in order."""


class Claims(NamedTuple):
    """What a Service holds: store keys, each with the field and value that asked for it."""

    ip: str
    ports: frozenset[int]

    def keys(self) -> set[str]:
        keys = {port_key(port) for port in self.ports}
        return keys | {ip_key(self.ip)} if self.ip else keys


def ip_key(address: str) -> str:
    return f"{ALLOCATIONS}clusterips/{address}"


def port_key(port: int) -> str:
    return f"{ALLOCATIONS}nodeports/{port}"


def claims_of(spec: ServiceSpec | None) -> Claims:
    if spec is None or spec.type == "ExternalName":
        return Claims("", frozenset())
    address = "" if spec.cluster_ip == HEADLESS else spec.cluster_ip
    ports = {port.node_port for port in spec.ports if port.node_port} if spec.type in WITH_NODE_PORTS else set()
    return Claims(address, frozenset(ports))


class ServiceAllocation:
    async def admit(self, attributes: Attributes) -> None:
        if not attributes.is_about("Service") or attributes.subresource:
            return
        new: Service | None = attributes.new
        old: Service | None = attributes.old
        held = claims_of(old.spec if old is not None else None).keys()
        if new is None:
            wanted: set[str] = set()
        else:
            Allocator(attributes).fill(new.spec, held)
            wanted = claims_of(new.spec).keys()
        owner = object_key(attributes.info, attributes.namespace, attributes.name)
        for key in sorted(wanted - held):
            attributes.transaction.require_absent(key)
            attributes.transaction.put(key, owner.encode())
        for key in sorted(held - wanted):
            attributes.transaction.delete(key)


class Allocator:
    """Fills in the addresses of one Service."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._config = attributes.context.config
        self._taken = attributes.context.feed.allocations.values
        self._rng: Random = attributes.context.env.rng

    def fill(self, spec: ServiceSpec, held: set[str]) -> None:
        if spec.type == "ExternalName":
            return
        if not spec.cluster_ip:
            spec.cluster_ip = spec.cluster_ips[0] if spec.cluster_ips else self._pick_ip()
        elif spec.cluster_ip != HEADLESS:
            self._check_ip(spec.cluster_ip, held)
        spec.cluster_ips = [spec.cluster_ip]
        spec.ip_families = spec.ip_families or ["IPv4"]
        spec.ip_family_policy = spec.ip_family_policy or "SingleStack"
        if spec.type in WITH_NODE_PORTS:
            self._fill_ports(spec, held)
        else:
            for port in spec.ports:
                port.node_port = 0

    def _fill_ports(self, spec: ServiceSpec, held: set[str]) -> None:
        if spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is False:
            return
        chosen = {port.node_port for port in spec.ports if port.node_port}
        low, high = self._config.node_port_range
        for index, port in enumerate(spec.ports):
            if port.node_port:
                self._check_port(f"spec.ports[{index}].nodePort", port.node_port, held)
                continue
            port.node_port = self._pick_port(low, high, chosen)
            chosen.add(port.node_port)

    def _pick_ip(self) -> str:
        network = _network(self._config.service_cidr)
        first, count = int(network.network_address) + 2, network.num_addresses - 3
        reserved = self._config.cluster_dns_ip
        for offset in self._offsets(count):
            address = str(ipaddress.ip_address(first + offset))
            if address != reserved and ip_key(address) not in self._taken:
                return address
        raise ServiceUnavailable("no cluster IP is free")

    def _pick_port(self, low: int, high: int, chosen: set[int]) -> int:
        for offset in self._offsets(high - low + 1):
            if low + offset not in chosen and port_key(low + offset) not in self._taken:
                return low + offset
        raise ServiceUnavailable("no node port is free")

    def _offsets(self, count: int) -> Iterable[int]:
        for _ in range(RANDOM_TRIES):
            yield self._rng.randrange(count)
        yield from range(count)

    def _check_ip(self, address: str, held: set[str]) -> None:
        network = _network(self._config.service_cidr)
        try:
            inside = ipaddress.ip_address(address) in network
        except ValueError:
            inside = False
        if not inside:
            why = f"the provided IP is not in the valid range. The range of valid IPs is {network}"
            self._refuse("spec.clusterIPs", [address], f"failed to allocate IP {address}: {why}")
        if ip_key(address) in self._taken and ip_key(address) not in held and self._owned_by_other(ip_key(address)):
            self._refuse(
                "spec.clusterIPs", [address], f"failed to allocate IP {address}: provided IP is already allocated"
            )

    def _check_port(self, field: str, port: int, held: set[str]) -> None:
        low, high = self._config.node_port_range
        if not low <= port <= high:
            why = f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
            self._refuse(field, port, why)
        if port_key(port) in self._taken and port_key(port) not in held and self._owned_by_other(port_key(port)):
            self._refuse(field, port, "provided port is already allocated")

    def _owned_by_other(self, key: str) -> bool:
        """A Service of the same name that exists answers with AlreadyExists, not with a taken address."""
        attributes = self._attributes
        owner = object_key(attributes.info, attributes.namespace, attributes.name).encode()
        return self._taken.get(key) != owner

    def _refuse(self, field: str, value: object, why: str) -> None:
        error = FieldError.invalid(field, value, why)
        raise Invalid.of(self._attributes.info, self._attributes.name, [error])


@lru_cache(maxsize=4)
def _network(cidr: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(cidr)
