"""From port mappings to rules, with kube-proxy's chain names and order so that its debugging guides hold here too.

Each mapping compiles alone into a `Fragment`; `assemble` joins fragments. An agent keeps fragments, so one changed
service costs one compilation however many others there are.

A packet's way: KUBE-SERVICES (by cluster IP) → KUBE-SVC or KUBE-SVL → KUBE-SEP (DNAT), or KUBE-NODEPORTS / external
address → KUBE-EXT → KUBE-SVC. Packets that must come back through this node carry a mark, and KUBE-POSTROUTING
masquerades them. The filter table refuses what no endpoint can serve.
"""

import base64
import functools
import hashlib
from collections.abc import Iterable

import msgspec

from proxy.model import Endpoint, PortMapping
from proxy.rules import Dnat, Hook, Jump, Masquerade, Recent, Reject, Rule, Ruleset, SetMark

SERVICES = "KUBE-SERVICES"
NODE_PORTS = "KUBE-NODEPORTS"
MARK_MASQ = "KUBE-MARK-MASQ"
POSTROUTING = "KUBE-POSTROUTING"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
FORWARD = "KUBE-FORWARD"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"
MARTIANS = "KUBE-FIREWALL"
MASQUERADE_MARK = "0x4000/0x4000"
SERVICE_PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-")
STATIC_CHAINS = {
    "nat": (SERVICES, NODE_PORTS, MARK_MASQ, POSTROUTING),
    "filter": (SERVICES, EXTERNAL_SERVICES, FORWARD, PROXY_FIREWALL, MARTIANS),
}
TABLES = ("filter", "nat")

_NEW = Rule(target=Jump(SERVICES), ct_state="NEW", comment="kubernetes service portals")
_EXTERNAL = Rule(
    target=Jump(EXTERNAL_SERVICES), ct_state="NEW", comment="kubernetes externally-visible service portals"
)
_FIREWALL = Rule(target=Jump(PROXY_FIREWALL), ct_state="NEW", comment="kubernetes load balancer firewall")
HOOKS = {
    "nat": (
        Hook("PREROUTING", Rule(target=Jump(SERVICES), comment="kubernetes service portals")),
        Hook("OUTPUT", Rule(target=Jump(SERVICES), comment="kubernetes service portals")),
        Hook("POSTROUTING", Rule(target=Jump(POSTROUTING), comment="kubernetes postrouting rules")),
    ),
    "filter": (
        Hook("FORWARD", Rule(target=Jump(FORWARD), comment="kubernetes forwarding rules")),
        Hook("FORWARD", _NEW),
        Hook("OUTPUT", _NEW),
        Hook("FORWARD", _EXTERNAL),
        Hook("INPUT", _EXTERNAL),
        Hook("INPUT", _FIREWALL),
        Hook("OUTPUT", _FIREWALL),
        Hook("FORWARD", _FIREWALL),
        Hook("INPUT", Rule(target=Jump(MARTIANS))),
        Hook("OUTPUT", Rule(target=Jump(MARTIANS))),
    ),
}


class Fragment(msgspec.Struct, frozen=True):
    """What one mapping contributes: lines for the shared chains, and chains of its own (nat table)."""

    services: tuple[Rule, ...] = ()
    node_ports: tuple[Rule, ...] = ()
    refused: tuple[Rule, ...] = ()
    refused_external: tuple[Rule, ...] = ()
    firewall: tuple[Rule, ...] = ()
    chains: dict[str, tuple[Rule, ...]] = {}


def is_ours(chain: str, table: str) -> bool:
    """Whether a chain belongs to this proxy; others may use KUBE- names too (host ports, network policy)."""
    return chain in STATIC_CHAINS[table] or chain.startswith(SERVICE_PREFIXES)


@functools.lru_cache(maxsize=65_536)  # one entry an endpoint; hashing dominates compilation otherwise
def chain_name(kind: str, seed: str) -> str:
    """KUBE-SVC-XXXXXXXXXXXXXXXX as kube-proxy derives it: base32 of SHA-256 of the seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    return f"KUBE-{kind}-" + base64.b32encode(digest)[:16].decode()


def compile_mapping(mapping: PortMapping, cluster_cidr: str) -> Fragment:
    """The rules of one service port."""
    return _Compiler(mapping, cluster_cidr).run()


def assemble(fragments: Iterable[Fragment]) -> Ruleset:
    """The whole rule set of a node; fragments in the order given."""
    nat: dict[str, tuple[Rule, ...]] = {MARK_MASQ: _MARK_MASQ_RULES, POSTROUTING: _POSTROUTING_RULES}
    services, node_ports = list[Rule](), list[Rule]()
    refused, refused_external, firewall = list[Rule](), list[Rule](), list[Rule]()
    for fragment in fragments:
        services += fragment.services
        node_ports += fragment.node_ports
        refused += fragment.refused
        refused_external += fragment.refused_external
        firewall += fragment.firewall
        nat.update(fragment.chains)
    nat[SERVICES] = (*services, _TO_NODE_PORTS)  # last: a service address of this node is no node port
    nat[NODE_PORTS] = tuple(node_ports)
    chains = {
        SERVICES: tuple(refused),
        EXTERNAL_SERVICES: tuple(refused_external),
        PROXY_FIREWALL: tuple(firewall),
        FORWARD: _FORWARD_RULES,
        MARTIANS: _MARTIAN_RULES,
    }
    return Ruleset(nat, chains)


_TO_NODE_PORTS = Rule(
    target=Jump(NODE_PORTS),
    destination_type="LOCAL",
    comment="kubernetes service nodeports; NOTE: this must be the last rule in this chain",
)
_MARK_MASQ_RULES = (Rule(target=SetMark(MASQUERADE_MARK)),)
_POSTROUTING_RULES = (
    Rule(target=Jump("RETURN"), mark="!" + MASQUERADE_MARK),
    Rule(target=SetMark("0x4000/0x0")),  # xor: unmark, so that an encapsulated copy is not masqueraded again
    Rule(target=Masquerade(), comment="kubernetes service traffic requiring SNAT"),
)
_FORWARD_RULES = (
    Rule(target=Jump("DROP"), ct_state="INVALID"),  # kubernetes#74839: such packets would reset connections
    Rule(target=Jump("ACCEPT"), mark=MASQUERADE_MARK, comment="kubernetes forwarding rules"),
    Rule(target=Jump("ACCEPT"), ct_state="RELATED,ESTABLISHED", comment="kubernetes forwarding conntrack rule"),
)
# route_localnet lets 127.0.0.1:nodePort work; without this rule neighbours could reach loopback (CVE-2020-8558)
_MARTIAN_RULES = (
    Rule(
        target=Jump("DROP"),
        source="!127.0.0.0/8",
        destination="127.0.0.0/8",
        ct_state="!RELATED,ESTABLISHED,DNAT",
        comment="block incoming localnet connections",
    ),
)


class _Compiler:
    """One mapping's compilation; methods add to the parts of a fragment."""

    def __init__(self, mapping: PortMapping, cluster_cidr: str) -> None:
        self.mapping = mapping
        self.cluster_cidr = cluster_cidr
        seed = mapping.name + mapping.protocol
        self.cluster_chain = chain_name("SVC", seed)
        self.local_chain = chain_name("SVL", seed)
        self.external_chain = chain_name("EXT", seed)
        self.firewall_chain = chain_name("FW", seed)
        self.services: list[Rule] = []
        self.node_ports: list[Rule] = []
        self.refused: list[Rule] = []
        self.refused_external: list[Rule] = []
        self.firewall: list[Rule] = []
        self.chains: dict[str, tuple[Rule, ...]] = {}

    def run(self) -> Fragment:
        mapping = self.mapping
        self._cluster_ip()
        if mapping.is_external:
            self._external()
        if mapping.cluster_endpoints:
            self.chains[self.cluster_chain] = self._balance(mapping.cluster_endpoints, self.cluster_chain)
        if mapping.local_endpoints and (mapping.internal_local or mapping.external_local):
            self.chains[self.local_chain] = self._balance(mapping.local_endpoints, self.local_chain)
        for endpoint in mapping.endpoints:
            self.chains[self._endpoint_chain(endpoint)] = self._endpoint(endpoint)
        return Fragment(
            tuple(self.services),
            tuple(self.node_ports),
            tuple(self.refused),
            tuple(self.refused_external),
            tuple(self.firewall),
            self.chains,
        )

    def _cluster_ip(self) -> None:
        mapping = self.mapping
        if mapping.internal_endpoints:
            chain = self.local_chain if mapping.internal_local else self.cluster_chain
            self.services.append(self._to(mapping.cluster_ip, Jump(chain), "cluster IP"))
        else:
            self.refused.append(self._to(mapping.cluster_ip, self._refusal(), self._why_refused()))

    def _external(self) -> None:
        """Traffic to external addresses and node ports; the firewall stands before load balancer addresses only."""
        mapping = self.mapping
        target = Jump(self.external_chain)
        addresses = [(ip, target, "external IP") for ip in mapping.external_ips]
        via_firewall = Jump(self.firewall_chain) if mapping.source_ranges else target
        addresses += [(ip, via_firewall, "loadbalancer IP") for ip in mapping.load_balancer_ips]
        if mapping.cluster_endpoints:
            self.services += [self._to(ip, jump, comment) for ip, jump, comment in addresses]
            if mapping.node_port:
                self.node_ports.append(self._to("", target, "", mapping.node_port))
            self.chains[self.external_chain] = self._external_rules()
            if mapping.source_ranges and mapping.load_balancer_ips:
                self._load_balancer_firewall()
        if not mapping.external_endpoints:
            refusal = Jump("DROP") if mapping.cluster_endpoints else Reject()
            why = "has no local endpoints" if mapping.cluster_endpoints else "has no endpoints"
            self.refused_external += [self._to(ip, refusal, why) for ip, _, _ in addresses]
            if mapping.node_port:
                self.refused_external.append(self._to("", refusal, why, mapping.node_port, "LOCAL"))

    def _external_rules(self) -> tuple[Rule, ...]:
        mapping, to_cluster = self.mapping, Jump(self.cluster_chain)
        comment = f"masquerade traffic for {mapping.name} external destinations"
        if not mapping.external_local:
            return (Rule(target=Jump(MARK_MASQ), comment=comment), Rule(target=to_cluster))
        # Pods and this node reach an external address as if it were the cluster IP: no client address to keep.
        rules = [
            Rule(target=to_cluster, source=self.cluster_cidr, comment="pod traffic for external destinations"),
            Rule(target=Jump(MARK_MASQ), source_type="LOCAL", comment=comment),
            Rule(target=to_cluster, source_type="LOCAL", comment=comment),
        ]
        if mapping.local_endpoints:
            rules.append(Rule(target=Jump(self.local_chain), comment=mapping.name))
        return tuple(rules)

    def _load_balancer_firewall(self) -> None:
        mapping = self.mapping
        self.chains[self.firewall_chain] = tuple(
            Rule(target=Jump(self.external_chain), source=cidr, comment=mapping.name) for cidr in mapping.source_ranges
        )
        drop = Jump("DROP")  # what the nat chain let through still has the load balancer's address here
        self.firewall += [self._to(ip, drop, "traffic not accepted") for ip in mapping.load_balancer_ips]

    def _to(self, ip: str, target: Jump | Reject, why: str, port: int = 0, address_type: str = "") -> Rule:
        mapping = self.mapping
        return Rule(
            target=target,
            protocol=mapping.protocol,
            destination=f"{ip}/32" if ip else "",
            dport=port or mapping.port,
            destination_type=address_type,
            comment=f"{mapping.name} {why}".rstrip(),
        )

    def _refusal(self) -> Jump | Reject:
        return Jump("DROP") if self.mapping.cluster_endpoints else Reject()

    def _why_refused(self) -> str:
        return "has no local endpoints" if self.mapping.cluster_endpoints else "has no endpoints"

    def _balance(self, endpoints: tuple[Endpoint, ...], chain: str) -> tuple[Rule, ...]:
        """An even choice: the i-th of n takes 1/(n-i) of what is left. Clients seen before keep their endpoint."""
        mapping = self.mapping
        is_cluster_ip_chain = (chain == self.local_chain) == mapping.internal_local
        rules = []
        if is_cluster_ip_chain:
            off_cluster = self._to(mapping.cluster_ip, Jump(MARK_MASQ), "cluster IP")
            rules.append(msgspec.structs.replace(off_cluster, source=f"!{self.cluster_cidr}"))
        for endpoint in endpoints if mapping.affinity_s else ():
            name = self._endpoint_chain(endpoint)
            seen = Recent(name, mapping.affinity_s)
            rules.append(Rule(target=Jump(name), recent=seen, comment=mapping.name))
        left = len(endpoints)
        for endpoint in endpoints:
            comment = f"{mapping.name} -> {endpoint.ip}:{endpoint.port}"
            one_in = left if left > 1 else 0
            rules.append(Rule(target=Jump(self._endpoint_chain(endpoint)), one_in=one_in, comment=comment))
            left -= 1
        return tuple(rules)

    def _endpoint_chain(self, endpoint: Endpoint) -> str:
        seed = f"{self.mapping.name}{self.mapping.protocol}{endpoint.ip}:{endpoint.port}"
        return chain_name("SEP", seed)

    def _endpoint(self, endpoint: Endpoint) -> tuple[Rule, ...]:
        """DNAT; a pod that reaches itself through the service must see another source address (hairpin)."""
        mapping = self.mapping
        recent = Recent(self._endpoint_chain(endpoint)) if mapping.affinity_s else None
        return (
            Rule(target=Jump(MARK_MASQ), source=f"{endpoint.ip}/32", comment=mapping.name),
            Rule(
                target=Dnat(endpoint.ip, endpoint.port), protocol=mapping.protocol, recent=recent, comment=mapping.name
            ),
        )
