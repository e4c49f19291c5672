"""The DNS responder as a function: query bytes and a zone in, answer bytes out (RFC 1035, 2308, 6891).

Any bytes may come; whatever cannot be a query gets None (no answer at all) or an error code, never an exception.
"""

import struct
from typing import Protocol

import msgspec

from proxy.dns.names import NAME_MAX, decode_name
from proxy.dns.records import CNAME, SOA, SRV, A, RecordSets

TTL_S = 5  # as CoreDNS: an address lives on for this long after its service
UDP_LIMIT = 512
EDNS_LIMIT = 1232  # what every path carries unfragmented (DNS flag day 2020)
TCP_LIMIT = 65_535
CHAIN_MAX = 8  # CNAMEs followed

FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 1, 2, 3, 4, 5
BADVERS_EXTENDED = 1  # extended RCODE 16
_OPT, _IN, _ANY_CLASS, _ANY = 41, 1, 255, 255
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")  # type, class, ttl, length
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x80
_OPCODE = 0x7800
_POINTER = 0xC0
_TO_QUESTION = b"\xc0\x0c"


class Zone(Protocol):
    """What the responder has to know."""

    origin: bytes
    soa: bytes

    def find(self, name: bytes) -> RecordSets | None: ...

    def is_authoritative(self, name: bytes) -> bool: ...


class Query(msgspec.Struct, frozen=True):
    """A query that can be answered."""

    id: int
    flags: int
    name: bytes  # lower case
    question: bytes  # as it came: clients may check that the spelling returns
    kind: int
    limit: int
    has_edns: bool
    is_edns_known: bool


class Refer(msgspec.Struct, frozen=True):
    """The name is not ours: somebody else has to be asked."""

    query: Query


class Malformed(Exception):
    """Carries the response code that the sender gets."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def answer(data: bytes, zone: Zone, *, over_tcp: bool = False, can_recurse: bool = False) -> bytes | Refer | None:
    """The whole responder."""
    if len(data) < _HEADER.size or data[2] & 0x80:  # too short, or itself an answer: silence stops loops
        return None
    try:
        query = parse_query(data, over_tcp)
    except Malformed as error:
        return _HEADER.pack(
            int.from_bytes(data[:2], "big"), _RESPONSE | (data[2] << 8 & _OPCODE) | error.code, 0, 0, 0, 0
        )
    if not query.is_edns_known:
        return _response(query, 0, [], [], [], extended=BADVERS_EXTENDED)
    sets = zone.find(query.name)
    if sets is None and not zone.is_authoritative(query.name):
        return Refer(query)
    flags = _AUTHORITATIVE | (_RECURSION_AVAILABLE if can_recurse else 0)
    if sets is None:
        return _response(query, flags | NXDOMAIN, [], [_record(zone.origin, SOA, zone.soa)], [])
    found = _collect(query, zone, sets)
    authority = [] if found else [_record(zone.origin, SOA, zone.soa)]
    return _response(query, flags, found, authority, _additional(query, zone, sets))


def refuse(query: Query, code: int = REFUSED) -> bytes:
    """The answer about a name that nobody can be asked about."""
    return _response(query, code, [], [], [])


def parse_query(data: bytes, over_tcp: bool) -> Query:
    """Raises Malformed."""
    ident, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & _OPCODE:
        raise Malformed(NOTIMP)
    if questions != 1 or answers or authorities:
        raise Malformed(FORMERR)
    end = _end_of_name(data, _HEADER.size)
    if end + 4 > len(data):
        raise Malformed(FORMERR)
    kind, class_ = struct.unpack_from("!HH", data, end)
    if class_ not in (_IN, _ANY_CLASS):
        raise Malformed(REFUSED)
    edns = _parse_edns(data, end + 4, additionals)
    limit = TCP_LIMIT if over_tcp else UDP_LIMIT
    if edns and not over_tcp:
        limit = min(max(edns[0], UDP_LIMIT), EDNS_LIMIT)
    question = data[_HEADER.size : end + 4]
    return Query(
        ident, flags, question[:-4].lower(), question, kind, limit, edns is not None, edns is None or edns[1] == 0
    )


def _end_of_name(data: bytes, at: int) -> int:
    """The offset after a name that must not be compressed."""
    start = at
    while at < len(data):
        length = data[at]
        if length & _POINTER or at - start >= NAME_MAX:
            break
        at += 1 + length
        if not length:
            return at
    raise Malformed(FORMERR)


def _parse_edns(data: bytes, at: int, count: int) -> tuple[int, int] | None:
    """(payload size, version) of the OPT record; other additional records (signatures) are passed over."""
    for _ in range(min(count, 4)):
        if at < len(data) and data[at] & _POINTER == _POINTER:
            at += 2
        else:
            at = _end_of_name(data, at)
        if at + _RECORD.size > len(data):
            raise Malformed(FORMERR)
        kind, size, ttl, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size + length
        if kind == _OPT:
            return size, ttl >> 16 & 0xFF
    return None


def _collect(query: Query, zone: Zone, sets: RecordSets) -> list[bytes]:
    """The answer section: what was asked, at the end of a chain of CNAMEs if need be."""
    found: list[bytes] = []
    owner = _TO_QUESTION
    for _ in range(CHAIN_MAX):
        if query.kind == _ANY:  # RFC 8482: one set is answer enough
            kinds = [next(iter(sets))] if sets else []
        else:
            kinds = [query.kind] if query.kind in sets else []
        for kind in kinds:
            found += _rotated([_record(owner, kind, data) for data in sets[kind]], query.id)
        if kinds or CNAME not in sets:
            return found
        target = sets[CNAME][0]
        found.append(_record(owner, CNAME, target))
        owner, sets = target, zone.find(target) or {}
    return found


def _additional(query: Query, zone: Zone, sets: RecordSets) -> list[bytes]:
    """Addresses of SRV targets, which the client would ask for next."""
    if query.kind != SRV:
        return []
    targets = dict.fromkeys(data[6:] for data in sets.get(SRV, ()))
    return [_record(target, A, data) for target in targets for data in (zone.find(target) or {}).get(A, ())]


def _rotated(records: list[bytes], by: int) -> list[bytes]:
    """Clients tend to take the first address: let it differ from query to query."""
    start = by % len(records)
    return records[start:] + records[:start]


def _record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + _RECORD.pack(kind, _IN, TTL_S, len(data)) + data


def _response(
    query: Query, flags: int, found: list[bytes], authority: list[bytes], additional: list[bytes], extended: int = 0
) -> bytes:
    """Puts a response together; what does not fit is left out, and truncation is told when it is the answer itself."""
    flags |= _RESPONSE | query.flags & (_OPCODE | _RECURSION_DESIRED)
    opt = [b"\0" + _RECORD.pack(_OPT, EDNS_LIMIT, extended << 24, 0)] if query.has_edns else []
    room = query.limit - _HEADER.size - len(query.question) - sum(map(len, opt))
    answers = _fitting(found, room)
    if len(answers) < len(found):
        flags |= _TRUNCATED
        authority, additional = [], []
    room -= sum(map(len, answers))
    authority = _fitting(authority, room)
    additional = _fitting(additional, room - sum(map(len, authority))) + opt
    head = _HEADER.pack(query.id, flags, 1, len(answers), len(authority), len(additional))
    return b"".join([head, query.question, *answers, *authority, *additional])


def _fitting(records: list[bytes], room: int) -> list[bytes]:
    taken = []
    for record in records:
        room -= len(record)
        if room < 0:
            break
        taken.append(record)
    return taken


def describe(query: Query) -> str:
    """For log lines."""
    return f"{decode_name(query.name)} type {query.kind}"
