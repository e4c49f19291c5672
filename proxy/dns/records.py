"""The records of a cluster (Kubernetes DNS specification 1.1.0), and the zone that holds them.

`records_of` is pure: one service with its slices gives its names. `ClusterZone` keeps each service's share apart, so a
changed service is replaced without looking at any other, and knows which names exist only because others lie below.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from master.api.core.service import Service
from master.api.discovery.endpointslice import EndpointSlice
from proxy.dns.names import encode_name, is_within, labels_of, parent, reverse_name
from proxy.model import is_headless, is_ipv4

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV = 1, 2, 5, 6, 12, 16, 28, 33
SPEC_VERSION = b"1.1.0"
SRV_PRIORITY, SRV_WEIGHT = 0, 100
SOA_TIMERS = (7200, 1800, 86_400, 5)  # refresh, retry, expire, and how long a missing name may be remembered

RecordSets = dict[int, tuple[bytes, ...]]
"""Record type → the data of each record, names in it uncompressed."""


class Address(msgspec.Struct, frozen=True):
    """A ready endpoint as DNS sees it."""

    ip: str
    label: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


def records_of(service: Service, slices: Iterable[EndpointSlice], domain: str) -> dict[bytes, RecordSets]:
    """Every name of one service."""
    base = (service.metadata.name, service.metadata.namespace, "svc", domain)
    found: dict[bytes, RecordSets] = {}
    if service.spec.type == "ExternalName":
        found[encode_name(*base)] = {CNAME: (encode_name(service.spec.external_name),)}
    elif is_headless(service):
        _headless(found, base, addresses_of(slices))
    elif is_ipv4(service.spec.cluster_ip):
        target = encode_name(*base)
        _add(found, target, A, _packed(service.spec.cluster_ip))
        _add(found, reverse_name(service.spec.cluster_ip), PTR, target)
        for port in service.spec.ports:
            if port.name:
                owner = encode_name(f"_{port.name}", f"_{port.protocol or 'TCP'}", *base)
                _add(found, owner, SRV, _srv(port.port, target))
    return found


def addresses_of(slices: Iterable[EndpointSlice]) -> list[Address]:
    """Endpoints that are ready (the slice says so of all when the service publishes unready addresses)."""
    found = {}
    for slice_ in slices:
        if slice_.address_type != "IPv4":
            continue
        ports = tuple((p.name or "", p.protocol or "TCP", p.port or 0) for p in slice_.ports)
        for endpoint in slice_.endpoints:
            ip = endpoint.addresses[0] if endpoint.addresses else ""
            if endpoint.conditions.ready is False or not is_ipv4(ip):
                continue
            address = Address(ip, endpoint.hostname or ip.replace(".", "-"), ports)
            found[address.label, ip, ports] = address
    return [found[key] for key in sorted(found)]


def _headless(found: dict[bytes, RecordSets], base: tuple[str, ...], addresses: list[Address]) -> None:
    service_name = encode_name(*base)
    found[service_name] = {}  # exists, even when nobody is ready
    for address in addresses:
        target = encode_name(address.label, *base)
        _add(found, service_name, A, _packed(address.ip))
        _add(found, target, A, _packed(address.ip))
        _add(found, reverse_name(address.ip), PTR, target)
        for name, protocol, number in address.ports:
            if name:
                _add(found, encode_name(f"_{name}", f"_{protocol}", *base), SRV, _srv(number, target))


def _add(found: dict[bytes, RecordSets], owner: bytes, kind: int, data: bytes) -> None:
    sets = found.setdefault(owner, {})
    if data not in sets.get(kind, ()):
        sets[kind] = (*sets.get(kind, ()), data)


def _packed(ip: str) -> bytes:
    return ipaddress.IPv4Address(ip).packed


def _srv(port: int, target: bytes) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in (SRV_PRIORITY, SRV_WEIGHT, port)) + target


class ClusterZone:
    """All names of the cluster. Read and written on one thread (the event loop)."""

    def __init__(self, domain: str, dns_address: str) -> None:
        self._domain = domain
        self.origin = encode_name(domain)
        self._pods = encode_name("pod", domain)
        self._shares: dict[str, Mapping[bytes, RecordSets]] = {}
        self._names: dict[bytes, dict[str, RecordSets]] = {}
        self._below: Counter[bytes] = Counter()
        nameserver = encode_name("ns.dns", domain)
        self.soa = nameserver + encode_name("hostmaster", domain) + _words(1, *SOA_TIMERS)
        fixed: dict[bytes, RecordSets] = {
            self.origin: {NS: (nameserver,), SOA: (self.soa,)},
            nameserver: {A: (_packed(dns_address),)},
            encode_name("dns-version", domain): {TXT: (bytes([len(SPEC_VERSION)]) + SPEC_VERSION,)},
            encode_name("svc", domain): {},
            self._pods: {},
        }
        self._file("", fixed)

    def replace(self, key: str, service: Service | None, slices: Iterable[EndpointSlice]) -> None:
        """Put a service's present names in the place of its former ones."""
        try:
            share = records_of(service, slices, self._domain) if service else {}
        except ValueError:  # an address or name that validation should have refused must not stop all others
            share = {}
        self._unfile(key)
        if share:
            self._file(key, share)

    def find(self, name: bytes) -> RecordSets | None:
        """What a name holds ({} for a name that only has others below it); None when it does not exist."""
        shares = self._names.get(name)
        if shares is None:
            return {} if self._below[name] else self._pod_address(name)
        if len(shares) == 1:
            return next(iter(shares.values()))
        return _merged(shares.values())

    def is_authoritative(self, name: bytes) -> bool:
        return is_within(name, self.origin)

    def _pod_address(self, name: bytes) -> RecordSets | None:
        """`10-91-1-2.namespace.pod.cluster.local` is computed: the address is in the name."""
        labels = labels_of(name)
        if not is_within(name, self._pods) or len(labels) > len(labels_of(self._pods)) + 2:
            return None
        if len(labels) == len(labels_of(self._pods)) + 1:
            return {}  # a namespace: others may lie below
        try:
            return {A: (ipaddress.IPv4Address(labels[0].replace(b"-", b".").decode("ascii")).packed,)}
        except ValueError:
            return None

    def _file(self, key: str, share: Mapping[bytes, RecordSets]) -> None:
        self._shares[key] = share
        for name, sets in share.items():
            self._names.setdefault(name, {})[key] = sets
            self._below.update(self._ancestors(name))

    def _unfile(self, key: str) -> None:
        for name in self._shares.pop(key, {}):
            del self._names[name][key]
            if not self._names[name]:
                del self._names[name]
            for ancestor in self._ancestors(name):
                self._below[ancestor] -= 1
                if not self._below[ancestor]:
                    del self._below[ancestor]

    def _ancestors(self, name: bytes) -> Iterator[bytes]:
        """Names between this one and the zone's origin; reverse names have none of ours above them."""
        if not is_within(name, self.origin):
            return
        while len(name := parent(name)) > len(self.origin):
            yield name


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def _merged(shares: Iterable[RecordSets]) -> RecordSets:
    merged: RecordSets = {}
    for sets in shares:
        for kind, data in sets.items():
            merged[kind] = tuple(dict.fromkeys((*merged.get(kind, ()), *data)))
    return merged
