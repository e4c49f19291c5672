"""Forgets flows whose endpoint is gone: UDP flows, and TCP connections that nobody has answered yet.

The kernel asks the nat table only for the first packet of a flow. A UDP client that keeps its port would go on sending
to a dead pod, or past a service that had no endpoint when it began. A TCP client that knocks at a dead pod repeats its
SYN after a second: once the flow is forgotten, that SYN goes by the new rules to a live pod, and the connection is
saved. Connections that were answered are left alone, as kube-proxy leaves them. Which flows are stale is pure; the
rest is a small netlink client: a dump, and a delete that returns the flow's own attribute bytes.
"""

import itertools
import logging
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from proxy.model import PortMapping

LOG = logging.getLogger(__name__)
NETLINK_TIMEOUT_S = 5.0
_RECEIVE_BYTES = 1 << 18

_NETLINK_NETFILTER = 12
_CT_GET, _CT_DELETE = 0x101, 0x102
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_NLMSG = struct.Struct("=IHHII")
_NFGEN = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # without the nested and byte-order flags
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID = 1, 2, 3, 12
_SEEN_REPLY = 1 << 1  # of the status bits
_PROTOCOLS = {socket.IPPROTO_UDP: "udp", socket.IPPROTO_TCP: "tcp"}
_SEQUENCE = itertools.count(1)

Address = tuple[str, int]
Protocol = str  # "tcp" or "udp"


class Flow(msgspec.Struct, frozen=True):
    """A flow as conntrack knows it; `key` are the bytes that name it to the kernel."""

    protocol: Protocol
    destination: Address  # where the client sent
    reply_source: Address  # who answers
    is_answered: bool = False
    key: bytes = b""


class Frontends(msgspec.Struct, frozen=True):
    """What services answer at, and which endpoints may answer there now."""

    addresses: Mapping[tuple[Protocol, Address], frozenset[Address]]
    node_ports: Mapping[tuple[Protocol, int], frozenset[Address]]


def frontends_of(mappings: Iterable[PortMapping]) -> Frontends:
    """The front of every port mapping."""
    addresses: dict[tuple[Protocol, Address], frozenset[Address]] = {}
    node_ports: dict[tuple[Protocol, int], frozenset[Address]] = {}
    for mapping in mappings:
        endpoints = frozenset((e.ip, e.port) for e in mapping.endpoints)
        for ip in (mapping.cluster_ip, *mapping.external_ips, *mapping.load_balancer_ips):
            addresses[mapping.protocol, (ip, mapping.port)] = endpoints
        if mapping.node_port:
            node_ports[mapping.protocol, mapping.node_port] = endpoints
    return Frontends(addresses, node_ports)


def with_removed(now: Frontends, before: Frontends) -> Frontends:
    """Fronts that existed before and do not any more count as fronts without endpoints."""
    nobody: frozenset[Address] = frozenset()
    return Frontends(
        {**dict.fromkeys(before.addresses, nobody), **now.addresses},
        {**dict.fromkeys(before.node_ports, nobody), **now.node_ports},
    )


def stale_flows(flows: Iterable[Flow], frontends: Frontends, node_address: str) -> list[Flow]:
    """Flows to a front that go to something which is not, or no longer, an endpoint of it; of TCP only unanswered."""
    stale = []
    for flow in flows:
        if flow.protocol == "tcp" and flow.is_answered:
            continue
        endpoints = frontends.addresses.get((flow.protocol, flow.destination))
        if endpoints is None and flow.destination[0] in (node_address, "127.0.0.1"):
            endpoints = frontends.node_ports.get((flow.protocol, flow.destination[1]))
        if endpoints is not None and flow.reply_source not in endpoints:
            stale.append(flow)
    return stale


def forget_stale_flows(frontends: Frontends, node_address: str) -> int:
    """Delete stale flows from the kernel's table; returns how many. Blocks for some milliseconds."""
    if not frontends.addresses and not frontends.node_ports:
        return 0
    with open_link() as link:
        stale = stale_flows(current_flows(link), frontends, node_address)
        deleted = sum(_delete(link, flow) for flow in stale)
    if deleted:
        LOG.info("forgot %d flows to endpoints that are gone", deleted)
    return deleted


def current_flows(link: socket.socket) -> list[Flow]:
    """All IPv4 TCP and UDP flows of this network namespace."""
    link.send(_message(_CT_GET, _REQUEST | _DUMP, b""))
    flows = []
    for payload in _answers(link):
        flow = parse_flow(payload)
        if flow is not None:
            flows.append(flow)
    return flows


def parse_flow(payload: bytes) -> Flow | None:
    """The flow in one conntrack message, None unless it is IPv4 TCP or UDP."""
    found = dict(_attributes(payload[_NFGEN.size :]))
    if _TUPLE_ORIG not in found or _TUPLE_REPLY not in found:
        return None
    original, reply = _parse_tuple(found[_TUPLE_ORIG]), _parse_tuple(found[_TUPLE_REPLY])
    if original is None or reply is None:
        return None
    answered = bool(int.from_bytes(found.get(_STATUS, b""), "big") & _SEEN_REPLY)
    key = _nested(_TUPLE_ORIG, found[_TUPLE_ORIG])
    if _ID in found:  # so that a newer flow with the same addresses is not taken for this one
        key += _attribute(_ID, found[_ID])
    return Flow(original[0], original[2], reply[1], answered, key)


def _parse_tuple(data: bytes) -> tuple[Protocol, Address, Address] | None:
    """Protocol, source and destination."""
    parts = dict(_attributes(data))
    ip, proto = dict(_attributes(parts.get(1, b""))), dict(_attributes(parts.get(2, b"")))
    protocol = _PROTOCOLS.get(int.from_bytes(proto.get(1, b"")[:1], "big"))
    if protocol is None or len(ip.get(1, b"")) != 4 or len(ip.get(2, b"")) != 4:
        return None
    ports = [int.from_bytes(proto.get(kind, b"")[:2], "big") for kind in (2, 3)]
    return protocol, (socket.inet_ntoa(ip[1]), ports[0]), (socket.inet_ntoa(ip[2]), ports[1])


def open_link() -> socket.socket:
    """A netlink socket of the calling thread's network namespace."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    link.settimeout(NETLINK_TIMEOUT_S)
    link.bind((0, 0))
    return link


def _delete(link: socket.socket, flow: Flow) -> bool:
    link.send(_message(_CT_DELETE, _REQUEST | _ACK, flow.key))
    try:
        for _ in _answers(link):
            pass
    except FileNotFoundError:  # it has expired by itself meanwhile
        return False
    return True


def _message(kind: int, flags: int, attributes: bytes) -> bytes:
    body = _NFGEN.pack(socket.AF_INET, 0, 0) + attributes
    return _NLMSG.pack(_NLMSG.size + len(body), kind, flags, next(_SEQUENCE), 0) + body


def _answers(link: socket.socket) -> Iterator[bytes]:
    """Payloads up to the end of a dump or the acknowledgement; raises the OSError that the kernel answered."""
    while True:
        data = link.recv(_RECEIVE_BYTES)
        at = 0
        while at + _NLMSG.size <= len(data):
            length, kind, _, _, _ = _NLMSG.unpack_from(data, at)
            payload = data[at + _NLMSG.size : at + length]
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -int.from_bytes(payload[:4], "little", signed=True)
                if code:
                    raise OSError(code, f"conntrack: {os.strerror(code)}")
                return
            yield payload
            at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | 0x8000, value)
