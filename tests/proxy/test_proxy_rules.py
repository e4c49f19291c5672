"""Properties of the compiled rules and of the chain diff."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compile import SERVICES, STATIC_CHAINS, TABLES, assemble, chain_name, compile_mapping, is_ours
from proxy.model import Endpoint, PortMapping
from proxy.rules import Dnat, Jump, Reject, Rule, Ruleset, apply_change, diff

CIDR = "10.91.0.0/16"
VERDICTS = {"ACCEPT", "DROP", "RETURN"}
endpoints = st.builds(
    Endpoint,
    ip=st.integers(1, 254).map(lambda n: f"10.91.1.{n}"),
    port=st.integers(1, 65_535),
    is_local=st.booleans(),
)


@st.composite
def mappings(draw: st.DrawFn) -> PortMapping:
    chosen = draw(st.lists(endpoints, max_size=6, unique_by=lambda e: (e.ip, e.port)))
    return PortMapping(
        namespace="ns",
        service=draw(st.sampled_from(["a", "b", "c", "d"])),
        port_name=draw(st.sampled_from(["", "http"])),
        protocol=draw(st.sampled_from(["tcp", "udp"])),
        cluster_ip=draw(st.sampled_from(["10.96.0.7", "10.96.0.8"])),
        port=draw(st.integers(1, 65_535)),
        node_port=draw(st.sampled_from([0, 30_001])),
        external_ips=draw(st.sampled_from([(), ("192.0.2.1",)])),
        load_balancer_ips=draw(st.sampled_from([(), ("192.0.2.9",)])),
        source_ranges=draw(st.sampled_from([(), ("198.51.100.0/24",)])),
        affinity_s=draw(st.sampled_from([0, 60])),
        internal_local=draw(st.booleans()),
        external_local=draw(st.booleans()),
        cluster_endpoints=tuple(sorted(chosen)),
        local_endpoints=tuple(sorted(e for e in chosen if e.is_local)),
    )


rulesets = st.lists(mappings(), max_size=5, unique_by=lambda m: (m.name, m.protocol)).map(
    lambda many: assemble(compile_mapping(m, CIDR) for m in many)
)


def all_rules(ruleset: Ruleset) -> Iterator[Rule]:
    for table in TABLES:
        for rules in ruleset.table(table).values():
            yield from rules


@given(st.lists(mappings(), max_size=5, unique_by=lambda m: (m.name, m.protocol)))
def test_every_translation_goes_to_an_endpoint_of_some_mapping(many: list[PortMapping]) -> None:
    allowed = {(e.ip, e.port) for m in many for e in m.endpoints}
    ruleset = assemble(compile_mapping(m, CIDR) for m in many)
    used = {(r.target.ip, r.target.port) for r in all_rules(ruleset) if isinstance(r.target, Dnat)}
    assert used == allowed


@given(rulesets)
def test_every_jump_leads_to_a_chain_that_exists(ruleset: Ruleset) -> None:
    for table in TABLES:
        chains = ruleset.table(table)
        for rules in chains.values():
            for rule in rules:
                if isinstance(rule.target, Jump):
                    assert rule.target.chain in chains or rule.target.chain in VERDICTS
        assert all(is_ours(name, table) and len(name) <= 28 for name in chains)
        assert set(STATIC_CHAINS[table]) <= chains.keys()


@given(mappings())
def test_every_endpoint_gets_an_even_share(mapping: PortMapping) -> None:
    chains = compile_mapping(mapping, CIDR).chains
    seed = mapping.name + mapping.protocol
    for kind, expected in (("SVC", mapping.cluster_endpoints), ("SVL", mapping.local_endpoints)):
        left, shares = 1.0, []
        for rule in chains.get(chain_name(kind, seed), ()):
            to_endpoint = isinstance(rule.target, Jump) and rule.target.chain.startswith("KUBE-SEP-")
            if not to_endpoint or rule.recent:
                continue
            share = left / rule.one_in if rule.one_in else left
            shares.append(share)
            left -= share
        if shares:
            assert len(shares) == len(expected)
            assert all(abs(share - 1 / len(expected)) < 1e-9 for share in shares)
            assert left < 1e-9


@given(mappings())
def test_a_service_that_nothing_can_serve_is_refused_or_dropped_and_never_both_served_and_refused(
    mapping: PortMapping,
) -> None:
    fragment = compile_mapping(mapping, CIDR)
    to_cluster_ip = [r for r in fragment.services if r.destination == f"{mapping.cluster_ip}/32"]
    assert bool(to_cluster_ip) == bool(mapping.internal_endpoints)
    assert bool(fragment.refused) == (not mapping.internal_endpoints)
    for rule in fragment.refused:
        assert isinstance(rule.target, Reject) == (not mapping.cluster_endpoints)


@given(rulesets, rulesets)
@settings(max_examples=60)
def test_applying_a_diff_gives_the_wanted_chains_and_a_second_one_is_empty(one: Ruleset, two: Ruleset) -> None:
    for table in TABLES:
        before, after = one.table(table), two.table(table)
        change = diff(before, after)
        assert apply_change(before, change) == dict(after)
        assert diff(apply_change(before, change), after).is_empty
        assert not change.drop & change.write.keys()


def test_chain_names_are_those_of_kube_proxy() -> None:
    # known from any cluster: the chains of default/kubernetes:https and kube-system/kube-dns:dns
    assert chain_name("SVC", "default/kubernetes:httpstcp") == "KUBE-SVC-NPX46M4PTMTKRN6Y"
    assert chain_name("SVC", "kube-system/kube-dns:dnsudp") == "KUBE-SVC-TCOU7JCQXEZGVUNU"
    assert chain_name("SVC", "kube-system/kube-dns:dns-tcptcp") == "KUBE-SVC-ERIFXISQEP7F7OF4"


def test_node_ports_come_after_all_service_addresses() -> None:
    ruleset = assemble([])
    last = ruleset.nat[SERVICES][-1]
    assert last.target == Jump("KUBE-NODEPORTS") and last.destination_type == "LOCAL"
