"""The same rules as text for `iptables-restore`: the way out where the legacy tables cannot be used.

Kernels built without the legacy modules have nf_tables behind the iptables command. It is much slower in bulk
(minutes for thousands of services), so it serves only when `IptablesWriter.check` refuses.
"""

import logging
import shutil
import subprocess

from proxy.compile import HOOKS, STATIC_CHAINS, TABLES, is_ours
from proxy.rules import (
    Chains,
    Dnat,
    Hook,
    Jump,
    Masquerade,
    Reject,
    Rule,
    Ruleset,
    SetMark,
    Target,
    apply_change,
    diff,
    probability,
)
from proxy.writer import TableUnavailable, WriteFailed

LOG = logging.getLogger(__name__)
COMMAND_TIMEOUT_S = 120.0
LOCK_WAIT_S = 10


def rule_text(rule: Rule) -> str:
    """The rule's part after `-A CHAIN`."""
    words = _address("-s", rule.source) + _address("-d", rule.destination)
    if rule.protocol:
        words += ["-p", rule.protocol]
    if rule.comment:
        words += ["-m", "comment", "--comment", f'"{rule.comment}"']
    if rule.dport:
        words += ["-m", rule.protocol, "--dport", str(rule.dport)]
    if rule.source_type:
        words += ["-m", "addrtype", "--src-type", rule.source_type]
    if rule.destination_type:
        words += ["-m", "addrtype", "--dst-type", rule.destination_type]
    if rule.ct_state:
        words += ["-m", "conntrack", *_negatable("--ctstate", rule.ct_state)]
    if rule.mark:
        words += ["-m", "mark", *_negatable("--mark", rule.mark)]
    if rule.one_in:
        words += ["-m", "statistic", "--mode", "random", "--probability", probability(rule.one_in)]
    if rule.recent:
        seen = ["--rcheck", "--seconds", str(rule.recent.seconds), "--reap"] if rule.recent.seconds else ["--set"]
        words += ["-m", "recent", *seen, "--name", rule.recent.name, "--rsource"]
    return " ".join(words + _target_words(rule.target))


def restore_text(table: str, writes: Chains, stale: frozenset[str]) -> str:
    """Input for `iptables-restore --noflush`: naming a chain creates or empties it, in one transaction."""
    lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in [*writes, *sorted(stale)])]
    lines += [f"-A {chain} {rule_text(rule)}" for chain, rules in writes.items() for rule in rules]
    lines += [f"-X {chain}" for chain in sorted(stale)]
    return "\n".join([*lines, "COMMIT", ""])


class RestoreWriter:
    """A RuleWriter over the commands of the iptables package."""

    def __init__(self) -> None:
        self._written: dict[str, Chains] = {table: {} for table in TABLES}
        self._saved: dict[str, str] = {}
        if not shutil.which("iptables-restore"):
            raise TableUnavailable("neither legacy tables nor the iptables-restore command can be used")

    def apply(self, ruleset: Ruleset, *, full: bool = False) -> int:
        return sum(self._apply_table(table, ruleset.table(table), full) for table in reversed(TABLES))

    def has_drifted(self) -> bool:
        return any(_save(table) != self._saved.get(table) for table in TABLES)

    def cleanup(self) -> None:
        for table in TABLES:
            for line in _save(table).splitlines():
                words = line.split()
                if words[:1] == ["-A"] and _jump_of(words) in STATIC_CHAINS[table] and not is_ours(words[1], table):
                    _run(["iptables", "-w", str(LOCK_WAIT_S), "-t", table, "-D", words[1], *_unquoted(line)])
            stale = frozenset(_own_chains(table))
            _run(["iptables-restore", "-w", str(LOCK_WAIT_S), "--noflush"], restore_text(table, {}, stale))
            self._written[table] = {}

    def _apply_table(self, table: str, chains: Chains, full: bool) -> int:
        before = {} if full else self._written[table]
        change = diff(before, chains)
        present = _own_chains(table)
        writes = {**change.write, **{name: chains[name] for name in chains.keys() - present}}
        stale = frozenset(present - chains.keys())
        if writes or stale:
            text = restore_text(table, writes, stale)
            _run(["iptables-restore", "-w", str(LOCK_WAIT_S), "--noflush"], text)
        for hook in HOOKS[table]:
            _ensure_hook(table, hook)
        self._written[table] = apply_change(before, change)
        self._saved[table] = _save(table)
        return len(writes)


def _ensure_hook(table: str, hook: Hook) -> None:
    arguments = _unquoted(f"-A {hook.builtin} {rule_text(hook.rule)}")
    base = ["iptables", "-w", str(LOCK_WAIT_S), "-t", table]
    if subprocess.run([*base, "-C", hook.builtin, *arguments], capture_output=True, check=False).returncode:
        _run([*base, "-I", hook.builtin, "1", *arguments])


def _unquoted(line: str) -> list[str]:
    """The words after `-A CHAIN`, quotes resolved as iptables-save writes them."""
    words: list[str] = []
    for index, piece in enumerate(line.split('"')):
        words += [piece] if index % 2 else piece.split()
    return words[2:]


def _jump_of(words: list[str]) -> str:
    return words[words.index("-j") + 1] if "-j" in words else ""


def _own_chains(table: str) -> set[str]:
    names = (line[1:].split()[0] for line in _save(table).splitlines() if line.startswith(":"))
    return {name for name in names if is_ours(name, table)}


def _save(table: str) -> str:
    """Without comment lines and counters, which differ from call to call."""
    lines = _run(["iptables-save", "-t", table]).splitlines()
    return "\n".join(line.split(" [")[0] for line in lines if not line.startswith("#"))


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=text, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise WriteFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise WriteFailed(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _address(flag: str, cidr: str) -> list[str]:
    return _negatable(flag, cidr) if cidr else []


def _negatable(flag: str, value: str) -> list[str]:
    return ["!", flag, value[1:]] if value.startswith("!") else [flag, value]


def _target_words(target: Target) -> list[str]:
    match target:
        case Jump(chain):
            return ["-j", chain]
        case Dnat(ip, port):
            return ["-j", "DNAT", "--to-destination", f"{ip}:{port}"]
        case SetMark(xmark):
            return ["-j", "MARK", "--set-xmark", xmark]
        case Masquerade():
            return ["-j", "MASQUERADE", "--random-fully"]
        case Reject():
            return ["-j", "REJECT", "--reject-with", "icmp-port-unreachable"]
