"""The rule model: what an iptables rule says, apart from how it is written.

Two writers understand it: `entries.py` makes the kernel's binary form, `restore.py` the text of iptables-restore.
"""

from collections.abc import Mapping

import msgspec


class Jump(msgspec.Struct, frozen=True):
    """Continue in another chain, or one of ACCEPT, DROP, RETURN."""

    chain: str


class Dnat(msgspec.Struct, frozen=True):
    ip: str
    port: int


class SetMark(msgspec.Struct, frozen=True):
    xmark: str  # value/mask


class Masquerade(msgspec.Struct, frozen=True):
    pass


class Reject(msgspec.Struct, frozen=True):
    pass


Target = Jump | Dnat | SetMark | Masquerade | Reject


class Recent(msgspec.Struct, frozen=True):
    """Memory of client addresses: `seconds` > 0 asks whether the client was seen, 0 records it."""

    name: str
    seconds: int = 0


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. An empty field matches anything; a leading `!` negates an address, a mark or a state."""

    target: Target
    comment: str = ""
    protocol: str = ""
    source: str = ""
    destination: str = ""
    dport: int = 0
    source_type: str = ""
    destination_type: str = ""
    ct_state: str = ""
    mark: str = ""
    one_in: int = 0  # random, with probability 1/one_in
    recent: Recent | None = None


class Hook(msgspec.Struct, frozen=True):
    """A jump in a built-in chain that belongs to everyone: added when missing, never moved."""

    builtin: str
    rule: Rule

    @property
    def chain(self) -> str:
        assert isinstance(self.rule.target, Jump)
        return self.rule.target.chain


def probability(one_in: int) -> str:
    """As the statistic match wants it."""
    return f"{1 / one_in:.11f}"


Chains = Mapping[str, tuple[Rule, ...]]


class Ruleset(msgspec.Struct, frozen=True):
    """All chains of ours, by table and name."""

    nat: Chains
    filter: Chains

    def table(self, name: str) -> Chains:
        return self.nat if name == "nat" else self.filter


class Change(msgspec.Struct, frozen=True):
    """What turns one set of chains into another: chains to write afresh and chains to drop."""

    write: Chains
    drop: frozenset[str]

    @property
    def is_empty(self) -> bool:
        return not self.write and not self.drop


def diff(before: Chains, after: Chains) -> Change:
    """The chains that differ; applying it twice changes nothing more."""
    return Change(
        {name: rules for name, rules in after.items() if before.get(name) != rules},
        frozenset(before.keys() - after.keys()),
    )


def apply_change(before: Chains, change: Change) -> dict[str, tuple[Rule, ...]]:
    """What a writer must achieve, for tests and for remembering the state written."""
    return {name: rules for name, rules in before.items() if name not in change.drop} | dict(change.write)
