"""The DNS responder as a function: what clients ask, what they get, and that no bytes break it."""

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st
from proxy_lab import make_service, make_slice

from master.api.core.service import Service, ServicePort
from master.api.meta import ObjectMeta
from proxy.dns.names import decode_name, encode_name
from proxy.dns.records import AAAA, NS, PTR, SOA, SRV, TXT, A, ClusterZone
from proxy.dns.wire import EDNS_LIMIT, FORMERR, NOTIMP, NXDOMAIN, REFUSED, TTL_S, Refer, answer, refuse

CNAME = 5
DOMAIN = "cluster.local"


def zone(*extra: tuple[str, Service, list[object]]) -> ClusterZone:
    made = ClusterZone(DOMAIN, "10.96.0.10")
    kubernetes = make_service("kubernetes", protocols=("TCP",), cluster_ip="10.96.0.1")
    kubernetes.spec.ports = [ServicePort(name="https", protocol="TCP", port=443)]
    made.replace("default/kubernetes", kubernetes, [])
    for key, service, slices in extra:
        made.replace(key, service, slices)  # type: ignore[arg-type]
    return made


def headless() -> tuple[str, Service, list[object]]:
    slice_ = make_slice("10.91.1.4", "10.91.1.5", service="db")
    slice_.endpoints[0].hostname = "db-0"
    return "default/db", make_service("db", cluster_ip="None"), [slice_]


def query(name: str, kind: int = A, *, ident: int = 7, flags: int = 0x0100, edns: int = 0) -> bytes:
    opt = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    head = struct.pack("!HHHHHH", ident, flags, 1, 0, 0, 1 if edns else 0)
    return head + encode_name(name) + struct.pack("!HH", kind, 1) + opt


class Reply:
    """An answer taken apart by an independent reader."""

    def __init__(self, data: bytes) -> None:
        self.id, self.flags, qd, *counts = struct.unpack_from("!HHHHHH", data)
        self.code, self.data, self._at = self.flags & 15, data, 12
        for _ in range(qd):
            self._name()
            self._at += 4
        self.answers, self.authority, self.additional = ([self._record() for _ in range(n)] for n in counts)
        assert self._at == len(data)

    def _name(self) -> str:
        labels, at, jumped = [], self._at, False
        while self.data[at]:
            if self.data[at] >= 0xC0:
                if not jumped:
                    self._at = at + 2
                jumped, at = True, struct.unpack_from("!H", self.data, at)[0] & 0x3FFF
                continue
            labels.append(self.data[at + 1 : at + 1 + self.data[at]].decode())
            at += 1 + self.data[at]
        if not jumped:
            self._at = at + 1
        return ".".join(labels)

    def _record(self) -> tuple[str, int, bytes]:
        owner = self._name()
        kind, _, ttl, length = struct.unpack_from("!HHIH", self.data, self._at)
        assert kind == 41 or ttl == TTL_S
        self._at += 10 + length
        return owner, kind, self.data[self._at - length : self._at]

    @property
    def addresses(self) -> list[str]:
        return sorted(socket.inet_ntoa(data) for _, kind, data in self.answers if kind == A)


def ask(made: ClusterZone, name: str, kind: int = A, **options: int) -> Reply:
    data = answer(query(name, kind, **options), made)
    assert isinstance(data, bytes)
    return Reply(data)


def test_the_api_server_is_found_by_its_full_name_in_any_spelling() -> None:
    for name in ("kubernetes.default.svc.cluster.local", "KUBERNETES.Default.SVC.cluster.LOCAL"):
        reply = ask(zone(), name)
        assert reply.addresses == ["10.96.0.1"] and reply.flags & 0x8500 == 0x8500


def test_the_search_list_ends_quickly_and_with_an_soa() -> None:
    for name in ("kubernetes.default.default.svc.cluster.local", "kubernetes.default.cluster.local"):
        reply = ask(zone(), name)
        assert reply.code == NXDOMAIN and [kind for _, kind, _ in reply.authority] == [SOA]
    assert ask(zone(), "kubernetes.default.svc.cluster.local").addresses


def test_an_existing_name_without_that_type_is_empty_and_not_missing() -> None:
    reply = ask(zone(), "kubernetes.default.svc.cluster.local", AAAA)
    assert reply.code == 0 and not reply.answers and reply.authority[0][1] == SOA


def test_names_above_others_exist() -> None:
    for name in ("default.svc.cluster.local", "svc.cluster.local", "_tcp.kubernetes.default.svc.cluster.local"):
        assert ask(zone(), name).code == 0
    assert ask(zone(), "nowhere.svc.cluster.local").code == NXDOMAIN


def test_service_ports_and_reverse_names_resolve() -> None:
    reply = ask(zone(), "_https._tcp.kubernetes.default.svc.cluster.local", SRV)
    data = reply.answers[0][2]
    assert struct.unpack("!HHH", data[:6]) == (0, 100, 443)
    assert decode_name(data[6:]) == "kubernetes.default.svc.cluster.local"
    assert reply.additional == [("kubernetes.default.svc.cluster.local", A, socket.inet_aton("10.96.0.1"))]
    reply = ask(zone(), "1.0.96.10.in-addr.arpa", PTR)
    assert decode_name(reply.answers[0][2]) == "kubernetes.default.svc.cluster.local"


def test_a_headless_service_is_its_endpoints() -> None:
    made = zone(headless())
    assert ask(made, "db.default.svc.cluster.local").addresses == ["10.91.1.4", "10.91.1.5"]
    assert ask(made, "db-0.db.default.svc.cluster.local").addresses == ["10.91.1.4"]
    assert ask(made, "10-91-1-5.db.default.svc.cluster.local").addresses == ["10.91.1.5"]
    assert decode_name(ask(made, "4.1.91.10.in-addr.arpa", PTR).answers[0][2]) == "db-0.db.default.svc.cluster.local"
    reply = ask(made, "_tcp._tcp.db.default.svc.cluster.local", SRV)
    assert len(reply.answers) == 2 and len(reply.additional) == 2


def test_a_headless_service_without_ready_endpoints_exists_but_is_empty() -> None:
    made = zone(("default/db", make_service("db", cluster_ip="None"), [make_slice("10.91.1.4", ready=False)]))
    reply = ask(made, "db.default.svc.cluster.local")
    assert reply.code == 0 and not reply.answers


def test_an_external_name_is_an_alias_followed_inside_the_cluster() -> None:
    inside = make_service(
        "alias", cluster_ip="", type="ExternalName", external_name="kubernetes.default.svc.cluster.local"
    )
    outside = make_service("out", cluster_ip="", type="ExternalName", external_name="example.com")
    made = zone(("default/alias", inside, []), ("default/out", outside, []))
    reply = ask(made, "alias.default.svc.cluster.local")
    assert [kind for _, kind, _ in reply.answers] == [CNAME, A] and reply.addresses == ["10.96.0.1"]
    reply = ask(made, "out.default.svc.cluster.local")
    assert [decode_name(data) for _, _, data in reply.answers] == ["example.com"]


def test_aliases_in_a_circle_end() -> None:
    one = make_service("one", cluster_ip="", type="ExternalName", external_name="two.default.svc.cluster.local")
    two = make_service("two", cluster_ip="", type="ExternalName", external_name="one.default.svc.cluster.local")
    reply = ask(zone(("default/one", one, []), ("default/two", two, [])), "one.default.svc.cluster.local")
    assert 1 <= len(reply.answers) <= 8


def test_pod_names_carry_their_address() -> None:
    assert ask(zone(), "10-91-1-7.default.pod.cluster.local").addresses == ["10.91.1.7"]
    assert ask(zone(), "nonsense.default.pod.cluster.local").code == NXDOMAIN
    assert ask(zone(), "999-1-1-1.default.pod.cluster.local").code == NXDOMAIN


def test_the_zone_says_who_it_is() -> None:
    assert ask(zone(), DOMAIN, SOA).answers[0][1] == SOA
    nameserver = decode_name(ask(zone(), DOMAIN, NS).answers[0][2])
    assert ask(zone(), nameserver).addresses == ["10.96.0.10"]
    assert ask(zone(), "dns-version.cluster.local", TXT).answers[0][2] == b"\x051.1.0"


def test_a_removed_service_takes_all_its_names_along() -> None:
    made = zone(headless())
    made.replace("default/db", None, [])
    for name in ("db.default.svc.cluster.local", "db-0.db.default.svc.cluster.local"):
        assert ask(made, name).code == NXDOMAIN
    assert isinstance(answer(query("4.1.91.10.in-addr.arpa", PTR), made), Refer)
    made.replace("default/kubernetes", None, [])
    assert ask(made, "default.svc.cluster.local").code == NXDOMAIN


def test_two_services_with_one_endpoint_share_its_reverse_name() -> None:
    _, other, slices = headless()
    other = Service(metadata=ObjectMeta(name="db2", namespace="default"), spec=other.spec)
    made = zone(headless(), ("default/db2", other, slices))
    assert len(ask(made, "4.1.91.10.in-addr.arpa", PTR).answers) == 2
    made.replace("default/db", None, [])
    assert len(ask(made, "4.1.91.10.in-addr.arpa", PTR).answers) == 1


def test_names_outside_are_referred_and_can_be_refused() -> None:
    for name in ("example.com", "kubernetes", "evilcluster.local", "local"):
        reply = answer(query(name), zone())
        assert isinstance(reply, Refer)
        assert Reply(refuse(reply.query)).code == REFUSED


def big() -> ClusterZone:
    addresses = [f"10.91.{i}.{j}" for i in range(2) for j in range(1, 101)]
    return zone(("default/big", make_service("big", cluster_ip="None"), [make_slice(*addresses)]))


def test_answers_too_long_for_a_datagram_are_cut_and_say_so() -> None:
    name = "big.default.svc.cluster.local"
    for edns, limit in ((0, 512), (4096, EDNS_LIMIT), (600, 600)):
        data = answer(query(name, edns=edns), big())
        assert isinstance(data, bytes) and len(data) <= limit
        reply = Reply(data)
        assert reply.flags & 0x0200 and reply.answers
        assert bool(edns) == any(kind == 41 for _, kind, _ in reply.additional)
    data = answer(query(name), big(), over_tcp=True)
    assert isinstance(data, bytes)
    assert len(Reply(data).answers) == 200 and not Reply(data).flags & 0x0200


def test_the_first_address_differs_from_query_to_query() -> None:
    made = zone(headless())
    firsts = {ask(made, "db.default.svc.cluster.local", ident=i).answers[0][2] for i in range(4)}
    assert len(firsts) == 2


def test_what_is_no_plain_query_gets_its_error_or_silence() -> None:
    good = query("kubernetes.default.svc.cluster.local")

    def code(data: bytes) -> int:
        reply = answer(data, zone())
        assert isinstance(reply, bytes)
        assert reply[:2] == data[:2]
        return reply[3] & 15

    assert answer(good[:11], zone()) is None
    assert answer(good[:2] + b"\x80" + good[3:], zone()) is None
    assert code(good[:2] + b"\x28" + good[3:]) == NOTIMP
    assert code(good[:4] + b"\0\2" + good[6:]) == FORMERR
    assert code(good[:-5]) == FORMERR
    assert code(good[:12] + b"\xc0\x0c\0\1\0\1") == FORMERR
    assert code(good[:-2] + b"\0\3") == REFUSED


def test_an_unknown_edns_version_is_told_apart() -> None:
    data = query("kubernetes.default.svc.cluster.local", edns=1232)
    reply = answer(data[:-6] + b"\0\1\0\0\0\0", zone())
    assert isinstance(reply, bytes)
    assert Reply(reply).additional[0][1] == 41 and not Reply(reply).answers


ZONE = zone(headless())


@given(st.binary(max_size=600), st.booleans())
def test_no_bytes_break_the_responder(data: bytes, over_tcp: bool) -> None:
    reply = answer(data, ZONE, over_tcp=over_tcp)
    assert reply is None or isinstance(reply, bytes | Refer)


@given(st.data())
def test_no_damaged_query_breaks_the_responder(draw: st.DataObject) -> None:
    data = bytearray(query("db-0.db.default.svc.cluster.local", draw.draw(st.integers(0, 65_535)), edns=1232))
    for _ in range(draw.draw(st.integers(0, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    reply = answer(bytes(data[: draw.draw(st.integers(0, len(data)))]), ZONE)
    if isinstance(reply, bytes):
        assert reply[:2] == data[:2] and reply[2] & 0x80
        Reply(reply)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12))
def test_any_order_of_replacements_leaves_the_names_of_what_is_left(keys: list[str]) -> None:
    made, present = ClusterZone(DOMAIN, "10.96.0.10"), set[str]()
    for key in keys:
        present ^= {key}
        service = make_service(key, cluster_ip="None") if key in present else None
        made.replace(f"default/{key}", service, [make_slice("10.91.1.9", service=key)] if service else [])
    for key in "abcdef":
        expected = ["10.91.1.9"] if key in present else []
        assert ask(made, f"{key}.default.svc.cluster.local").addresses == expected
    assert (ask(made, "default.svc.cluster.local").code == 0) == bool(present)
