"""The writers against a real kernel: both give the same table, foreign rules stay, drift is seen and repaired."""

import subprocess
from collections.abc import Iterator

import iptc
import pytest
from proxy_lab import Lab, lab

from proxy.compile import HOOKS, TABLES, assemble, compile_mapping
from proxy.iptables import IptablesWriter
from proxy.model import Endpoint, PortMapping
from proxy.restore import RestoreWriter, restore_text, rule_text
from proxy.rules import Ruleset
from proxy.writer import TableUnavailable, WriteFailed, choose_writer

FOREIGN = [
    "-t nat -N KUBE-HP-OTHERS",
    "-t nat -A PREROUTING -p tcp --dport 9999 -j KUBE-HP-OTHERS",
    "-t filter -A INPUT -s 203.0.113.9/32 -j DROP",
]


def mapping(name: str, count: int = 2, **fields: object) -> PortMapping:
    chosen = tuple(Endpoint(f"10.91.1.{i + 1}", 8080, i == 0) for i in range(count))
    base = {
        "namespace": "ns",
        "service": name,
        "cluster_ip": f"10.96.1.{ord(name[0])}",
        "port": 80,
        "cluster_endpoints": chosen,
        "local_endpoints": chosen[:1],
    }
    return PortMapping(**{**base, **fields})  # type: ignore[arg-type]


def rules_of(*mappings: PortMapping) -> Ruleset:
    return assemble(compile_mapping(m, "10.91.0.0/16") for m in mappings)


def rich() -> Ruleset:
    """Every match and target the compiler can use."""
    return rules_of(
        mapping("a", affinity_s=60, node_port=30_001),
        mapping("b", protocol="udp", node_port=30_002, external_local=True),
        mapping("c", 0, node_port=30_003, external_ips=("192.0.2.1",)),
        mapping("d", internal_local=True, load_balancer_ips=("192.0.2.2",), source_ranges=("198.51.100.0/24",)),
        mapping("e", local_endpoints=(), internal_local=True, external_local=True, node_port=30_004),
    )


@pytest.fixture
def box() -> Iterator[Lab]:
    with lab() as made:
        yield made


def saved(box: Lab, table: str) -> list[str]:
    text = box.command("node", "iptables-legacy-save", "-t", table)
    return [line.split(" [")[0] for line in text.splitlines() if not line.startswith("#")]


def untouched(box: Lab) -> dict[str, list[str]]:
    return {table: saved(box, table) for table in TABLES}


def test_binary_entries_say_the_same_as_iptables_restore_text(box: Lab) -> None:
    ruleset = rich()
    box.on("node", lambda: IptablesWriter().apply(ruleset))
    for table in TABLES:
        text = restore_text(table, ruleset.table(table), frozenset())
        hooks = [f"-I {hook.builtin} 1 {rule_text(hook.rule)}" for hook in HOOKS[table]]
        text = text.replace("COMMIT", "\n".join([*hooks, "COMMIT"]))
        command = ["nsenter", f"--net=/run/netns/{box.netns('out')}"]
        done = subprocess.run([*command, "iptables-legacy-restore"], input=text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        other = box.command("out", "iptables-legacy-save", "-t", table).splitlines()
        expected = [line.split(" [")[0] for line in other if not line.startswith("#")]
        assert saved(box, table) == expected


def test_cleanup_leaves_exactly_what_was_there_before(box: Lab) -> None:
    for line in FOREIGN:
        box.command("node", "iptables-legacy", *line.split())
    before = untouched(box)

    def write_and_clean() -> None:
        writer = IptablesWriter()
        writer.apply(rich())
        writer.cleanup()

    box.on("node", write_and_clean)
    assert untouched(box) == before


def test_foreign_rules_survive_every_sync(box: Lab) -> None:
    for line in FOREIGN:
        box.command("node", "iptables-legacy", *line.split())
    writer = IptablesWriter()
    box.on("node", lambda: writer.apply(rich()))
    box.on("node", lambda: writer.apply(rules_of(mapping("a")), full=True))
    nat, filter_ = saved(box, "nat"), saved(box, "filter")
    assert ":KUBE-HP-OTHERS -" in nat and "-A PREROUTING -p tcp -m tcp --dport 9999 -j KUBE-HP-OTHERS" in nat
    assert "-A INPUT -s 203.0.113.9/32 -j DROP" in filter_


def test_a_new_writer_takes_over_the_chains_of_its_predecessor(box: Lab) -> None:
    box.on("node", lambda: IptablesWriter().apply(rich()))
    box.on("node", lambda: IptablesWriter().apply(rules_of(mapping("z"))))
    fresh = saved(box, "nat")
    box.on("node", lambda: IptablesWriter().cleanup())
    box.on("node", lambda: IptablesWriter().apply(rules_of(mapping("z"))))
    assert sorted(saved(box, "nat")) == sorted(fresh)


def test_a_sync_without_change_writes_nothing_and_one_change_only_its_chains(box: Lab) -> None:
    writer = IptablesWriter()
    box.on("node", lambda: writer.apply(rules_of(mapping("a"), mapping("b"))))
    assert box.on("node", lambda: writer.apply(rules_of(mapping("a"), mapping("b")))) == 0
    assert not box.on("node", writer.has_drifted)
    assert box.on("node", lambda: writer.apply(rules_of(mapping("a"), mapping("b", 3)))) == 2  # its SVC, a new SEP


@pytest.mark.parametrize(
    "damage",
    ["-t nat -F KUBE-SERVICES", "-t nat -F", "-t filter -D FORWARD 1", "-t nat -A KUBE-NODEPORTS -j RETURN"],
)
def test_damage_by_others_is_seen_and_repaired(box: Lab, damage: str) -> None:
    writer, ruleset = IptablesWriter(), rich()
    box.on("node", lambda: writer.apply(ruleset))
    good = untouched(box)
    box.command("node", "iptables-legacy", *damage.split())
    assert box.on("node", writer.has_drifted)
    box.on("node", lambda: writer.apply(ruleset, full=True))
    assert {t: sorted(lines) for t, lines in untouched(box).items()} == {t: sorted(v) for t, v in good.items()}
    assert not box.on("node", writer.has_drifted)


def test_the_text_writer_does_the_same_through_the_iptables_commands(box: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.restore.LOCK_WAIT_S", 5)
    for line in FOREIGN:
        box.command("node", "iptables", *line.split())

    def save() -> list[str]:
        return box.on("node", lambda: [_nft_save(table) for table in TABLES])

    def _nft_save(table: str) -> str:
        done = subprocess.run(["iptables-save", "-t", table], capture_output=True, text=True, check=True)
        return "\n".join(line.split(" [")[0] for line in done.stdout.splitlines() if not line.startswith("#"))

    before = save()
    writer = RestoreWriter()
    assert box.on("node", lambda: writer.apply(rich())) > 0
    assert box.on("node", lambda: writer.apply(rich())) == 0
    assert not box.on("node", writer.has_drifted)
    written = save()
    assert all(f"-A {chain}" in written[1] for chain in ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING"))
    box.command("node", "iptables", "-t", "nat", "-F", "KUBE-SERVICES")
    assert box.on("node", writer.has_drifted)
    box.on("node", lambda: writer.apply(rich(), full=True))
    assert save() == written
    box.on("node", writer.cleanup)
    assert save() == before


def test_the_text_writer_serves_where_the_legacy_tables_cannot_be_used(
    box: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(box.on("node", choose_writer), IptablesWriter)

    def unavailable() -> None:
        raise TableUnavailable("no such module")

    monkeypatch.setattr(IptablesWriter, "check", unavailable)
    assert isinstance(box.on("node", choose_writer), RestoreWriter)


def test_a_commit_that_others_disturb_is_tried_again_and_then_given_up(
    box: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    commit = iptc.Table.commit

    def disturbed(table: iptc.Table) -> None:
        commits.append(1)
        if len(commits) < fail_first:
            raise iptc.IPTCError("Resource temporarily unavailable")
        commit(table)

    monkeypatch.setattr(iptc.Table, "commit", disturbed)
    fail_first = 3
    box.on("node", lambda: IptablesWriter().apply(rules_of(mapping("a"))))
    assert len(commits) == 4  # two attempts in vain, then one commit a table
    fail_first = 1_000
    with pytest.raises(WriteFailed):
        box.on("node", lambda: IptablesWriter().apply(rules_of(mapping("b"))))
