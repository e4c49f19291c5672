"""Rules in the kernel's binary form, `struct ipt_entry`, at a few microseconds each.

python-iptables compiles a rule in about 800 µs, nearly all of it spent in Rule objects. So each distinct match and
target is compiled by it once, its bytes are kept, and entries are put together by `struct.pack`: 55,000 rules take
under a second. Only DNAT differs for each endpoint; its template is patched.
"""

import functools
import ipaddress
import socket
import struct

import iptc

from proxy.rules import Dnat, Jump, Masquerade, Recent, Reject, Rule, SetMark, Target, probability

# src, dst, smsk, dmsk, iniface, outiface, iniface_mask, outiface_mask, proto, flags, invflags, nfcache,
# target_offset, next_offset, comefrom, packets, bytes (linux/netfilter_ipv4/ip_tables.h)
_ENTRY = struct.Struct("<4s4s4s4s16s16s16s16sHBBIHHIQQ")
_JUMP = struct.Struct("<H29sBi4x")  # libiptc resolves a chain's name at commit
_COMMENT = struct.Struct("<H29sB256s")
_TARGET_OFFSET = struct.Struct("<H")
_TARGET_OFFSET_AT = 88
_INVERT_SOURCE, _INVERT_DESTINATION = 0x08, 0x10
_PROTOCOL_NUMBER = {"": 0, "tcp": 6, "udp": 17}
_COMMENT_MAX = 255
_MATCH_CACHE = 65_536  # one entry a port number, probability and affinity list

_TEMPLATE_IP, _TEMPLATE_PORT = "1.2.3.4", 43_981  # 0x0102 0304 and 0xabcd: found again in the compiled bytes
_TARGET_HEADER_BYTES = 32


def encode_rule(rule: Rule) -> bytes:
    """The entry as libiptc wants it."""
    source, source_mask, source_inverted = _network(rule.source)
    destination, destination_mask, destination_inverted = _network(rule.destination)
    body = _matches(rule)
    target = _target(rule.target, rule.protocol)
    target_at = _ENTRY.size + len(body)
    invert = (_INVERT_SOURCE if source_inverted else 0) | (_INVERT_DESTINATION if destination_inverted else 0)
    head = (source, destination, source_mask, destination_mask, b"", b"", b"", b"", _PROTOCOL_NUMBER[rule.protocol])
    return _ENTRY.pack(*head, 0, invert, 0, target_at, target_at + len(target), 0, 0, 0) + body + target


def _matches(rule: Rule) -> bytes:
    """In the order of `restore.py`, so that both writers give the same table."""
    parts = []
    if rule.comment:
        parts.append(_COMMENT.pack(_COMMENT.size, b"comment", 0, rule.comment.encode()[:_COMMENT_MAX]))
    if rule.dport:
        parts.append(_match(rule.protocol, rule.protocol, ("dport", str(rule.dport))))
    if rule.source_type:
        parts.append(_match("", "addrtype", ("src_type", rule.source_type)))
    if rule.destination_type:
        parts.append(_match("", "addrtype", ("dst_type", rule.destination_type)))
    if rule.ct_state:
        parts.append(_match("", "conntrack", ("ctstate", rule.ct_state)))
    if rule.mark:
        parts.append(_match("", "mark", ("mark", rule.mark)))
    if rule.one_in:
        parts.append(_match("", "statistic", ("mode", "random"), ("probability", probability(rule.one_in))))
    if rule.recent:
        parts.append(_recent(rule.recent))
    return b"".join(parts)


def _recent(recent: Recent) -> bytes:
    name = (("name", recent.name), ("rsource", ""))
    if not recent.seconds:
        return _match("", "recent", ("set", ""), *name)
    return _match("", "recent", ("rcheck", ""), ("seconds", str(recent.seconds)), ("reap", ""), *name)


def _target(target: Target, protocol: str) -> bytes:
    match target:
        case Jump(chain):
            return _JUMP.pack(_JUMP.size, chain.encode(), 0, 0)
        case Dnat(ip, port):
            return _dnat(ip, port, protocol)
        case SetMark(xmark):
            return _compiled_target("", "MARK", ("set_xmark", xmark))
        case Masquerade():
            return _compiled_target("", "MASQUERADE", ("random_fully", ""))
        case Reject():
            return _compiled_target("", "REJECT", ("reject_with", "icmp-port-unreachable"))


def _dnat(ip: str, port: int, protocol: str) -> bytes:
    template, ip_offsets, port_offsets = _dnat_template(protocol)
    data = bytearray(template)
    address, port_bytes = socket.inet_aton(ip), struct.pack("!H", port)
    for at in ip_offsets:
        data[at : at + 4] = address
    for at in port_offsets:
        data[at : at + 2] = port_bytes
    return bytes(data)


@functools.cache
def _dnat_template(protocol: str) -> tuple[bytes, list[int], list[int]]:
    """A compiled DNAT and where its address and port stand (each twice: a range's two ends)."""
    template = _compiled_target(protocol, "DNAT", ("to_destination", f"{_TEMPLATE_IP}:{_TEMPLATE_PORT}"))
    ip, port = socket.inet_aton(_TEMPLATE_IP), struct.pack("!H", _TEMPLATE_PORT)
    positions = range(_TARGET_HEADER_BYTES, len(template))
    ip_offsets = [at for at in positions if template[at : at + 4] == ip]
    port_offsets = [at for at in positions if template[at : at + 2] == port]
    assert len(ip_offsets) == 2 and len(port_offsets) == 2, "DNAT's layout is not the known one"
    return template, ip_offsets, port_offsets


@functools.lru_cache(maxsize=_MATCH_CACHE)
def _match(protocol: str, name: str, *parameters: tuple[str, str]) -> bytes:
    rule = iptc.Rule()
    if protocol:
        rule.protocol = protocol
    match = rule.create_match(name)
    for key, value in parameters:
        match.set_parameter(key, value)  # not setattr: `name` is a property of the Match class
    match.final_check()
    rule.create_target("RETURN")
    return _split(rule)[0]


@functools.lru_cache(maxsize=64)
def _compiled_target(protocol: str, name: str, *parameters: tuple[str, str]) -> bytes:
    rule = iptc.Rule()
    if protocol:
        rule.protocol = protocol
    target = rule.create_target(name)
    for key, value in parameters:
        target.set_parameter(key, value)
    target.final_check()
    rule.target = target
    return _split(rule)[1]


def _split(rule: "iptc.Rule") -> tuple[bytes, bytes]:
    """The matches and the target of a compiled rule."""
    data = bytes(rule.rule)
    (target_at,) = _TARGET_OFFSET.unpack_from(data, _TARGET_OFFSET_AT)
    return data[_ENTRY.size : target_at], data[target_at:]


@functools.lru_cache(maxsize=_MATCH_CACHE)
def _network(text: str) -> tuple[bytes, bytes, bool]:
    if not text:
        return bytes(4), bytes(4), False
    network = ipaddress.IPv4Network(text.lstrip("!"), strict=False)
    return network.network_address.packed, network.netmask.packed, text.startswith("!")
