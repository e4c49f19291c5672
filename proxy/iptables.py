"""Writes a rule set into the kernel's legacy tables through libiptc: one atomic commit a table.

Only chains of ours are touched; jumps in built-in chains are added when missing. Between syncs the writer remembers
what it wrote, so that a sync flushes and fills only the chains that differ; `full=True` writes everything afresh.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import iptc
from iptc.errors import XTablesError

from proxy.compile import HOOKS, STATIC_CHAINS, TABLES, is_ours
from proxy.entries import encode_rule
from proxy.rules import Chains, Hook, Ruleset, apply_change, diff
from proxy.writer import TableUnavailable, WriteFailed
from proxy.xtables import table_signature, xtables_lock

LOG = logging.getLogger(__name__)
COMMIT_ATTEMPTS = 5  # a writer that ignores the lock makes a commit fail with EAGAIN


class IptablesWriter:
    """The writer for legacy tables."""

    def __init__(self) -> None:
        self._written: dict[str, Chains] = {table: {} for table in TABLES}
        self._signature: dict[str, bytes] = {}

    @staticmethod
    def check() -> None:
        """Raises TableUnavailable unless all tables can be read."""
        for table in TABLES:
            try:
                _open(table)
            except (iptc.IPTCError, OSError) as error:
                raise TableUnavailable(f"{table}: {error}") from error

    def apply(self, ruleset: Ruleset, *, full: bool = False) -> int:
        """nat before filter: a service must be reachable before its refusal goes, else both miss for a moment."""
        return sum(self._apply_table(name, ruleset.table(name), full) for name in reversed(TABLES))

    def has_drifted(self) -> bool:
        return any(table_signature(table) != self._signature.get(table) for table in TABLES)

    def cleanup(self) -> None:
        for table in TABLES:
            with xtables_lock():
                _committing(table, lambda handle, table=table: _remove_all(handle, table))  # type: ignore[misc]
            self._written[table] = {}
        self._signature = {}

    def _apply_table(self, table: str, chains: Chains, full: bool) -> int:
        change = diff({} if full else self._written[table], chains)

        def edit(handle: "_Handle") -> int:
            present = {chain for chain in handle.chains() if is_ours(chain, table)}
            missing = {name: chains[name] for name in chains.keys() - present}
            writes = {**change.write, **missing}
            stale = present - chains.keys()
            _write_chains(handle, writes, stale)
            added = sum(_ensure_hook(handle, hook) for hook in HOOKS[table])
            handle.is_changed = bool(writes or stale or added)
            return len(writes)

        with xtables_lock():
            count = _committing(table, edit)
            self._signature[table] = table_signature(table)
        self._written[table] = apply_change(self._written[table], change) if not full else dict(chains)
        return count


class _Handle:
    """A table as read; edits are local until the commit. Talks to libiptc below python-iptables' slow objects."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.is_changed = True
        self._lib, self._handle = table._iptc, table._handle  # no public way takes raw entries

    def chains(self) -> list[str]:
        names = []
        name = self._lib.iptc_first_chain(self._handle)
        while name:
            names.append(name.decode())
            name = self._lib.iptc_next_chain(self._handle)
        return names

    def targets(self, chain: str) -> Iterator[str]:
        """The target of each rule of a chain, in order."""
        rule = self._lib.iptc_first_rule(chain.encode(), self._handle)
        while rule:
            yield (self._lib.iptc_get_target(rule, self._handle) or b"").decode()
            rule = self._lib.iptc_next_rule(rule, self._handle)

    def create_or_flush(self, chain: str) -> None:
        if not self._lib.iptc_create_chain(chain.encode(), self._handle):
            self.flush(chain)

    def flush(self, chain: str) -> None:
        self._check(self._lib.iptc_flush_entries(chain.encode(), self._handle), f"flush {chain}")

    def append(self, chain: str, entry: bytes) -> None:
        self._check(self._lib.iptc_append_entry(chain.encode(), entry, self._handle), f"append to {chain}")

    def insert_first(self, chain: str, entry: bytes) -> None:
        self._check(self._lib.iptc_insert_entry(chain.encode(), entry, 0, self._handle), f"insert into {chain}")

    def delete_at(self, chain: str, index: int) -> None:
        self._check(self._lib.iptc_delete_num_entry(chain.encode(), index, self._handle), f"delete from {chain}")

    def delete_chain(self, chain: str) -> bool:
        """False when somebody else's rule still jumps there."""
        return bool(self._lib.iptc_delete_chain(chain.encode(), self._handle))

    def _check(self, result: int, what: str) -> None:
        if result != 1:
            raise WriteFailed(f"{self.table.name}: {what}: {self.table.strerror()}")


def _open(table: str) -> Any:
    """python-iptables keeps one Table a name; a refresh reads the kernel anew."""
    opened = iptc.Table(table, autocommit=False)
    opened.refresh()
    return opened


def _committing(table: str, edit: Callable[[_Handle], int]) -> int:
    """Read, edit, commit; again when somebody changed the table in between."""
    for attempt in range(1, COMMIT_ATTEMPTS + 1):
        try:
            opened = _open(table)
            handle = _Handle(opened)
            result = edit(handle)
            if handle.is_changed:
                opened.commit()
            return result
        except (iptc.IPTCError, XTablesError) as error:
            if attempt == COMMIT_ATTEMPTS:
                raise WriteFailed(f"{table}: {error}") from error
            LOG.warning("%s: %s; reading the table again", table, error)
    raise AssertionError("unreachable")


def _write_chains(handle: _Handle, writes: Chains, stale: set[str]) -> None:
    """All chains exist before any rule names them, and no rule names a chain when it goes."""
    for chain in writes:
        handle.create_or_flush(chain)
    for chain in stale:
        handle.flush(chain)
    for chain, rules in writes.items():
        for rule in rules:
            handle.append(chain, encode_rule(rule))
    for chain in stale:
        if not handle.delete_chain(chain):
            LOG.warning("chain %s is still used by a foreign rule; left empty", chain)


def _ensure_hook(handle: _Handle, hook: Hook) -> bool:
    if hook.chain in handle.targets(hook.builtin):
        return False
    handle.insert_first(hook.builtin, encode_rule(hook.rule))
    return True


def _remove_all(handle: _Handle, table: str) -> int:
    present = {chain for chain in handle.chains() if is_ours(chain, table)}
    for builtin in {hook.builtin for hook in HOOKS[table]}:
        ours = [i for i, target in enumerate(handle.targets(builtin)) if target in STATIC_CHAINS[table]]
        for index in reversed(ours):
            handle.delete_at(builtin, index)
    _write_chains(handle, {}, present)
    handle.is_changed = bool(present)
    return len(present)
