"""Transactions on the key space: validation before they enter the log, execution when they come out of it. Pure."""

from raftstore.errors import InvalidArgument, TooLarge
from raftstore.keys import check_key
from raftstore.lease import LeaseTable
from raftstore.mvcc import KeySpace
from raftstore.protocol import (
    MAX_OPERATIONS,
    Compare,
    Delete,
    DeletePrefix,
    Get,
    KeyValue,
    Operation,
    Put,
    Refused,
    Txn,
    TxnResult,
)

_ABSENT_VALUE = b""


def check(txn: Txn) -> None:
    """Refuse, before it is proposed, a transaction that could not be executed."""
    if len(txn.compares) + len(txn.success) + len(txn.failure) > MAX_OPERATIONS:
        raise TooLarge(f"a transaction of more than {MAX_OPERATIONS} comparisons and operations")
    for compare in txn.compares:
        check_key(compare.key)
        if isinstance(compare.value, bytes) != (compare.target == "value"):
            raise InvalidArgument(f"comparison of {compare.target} with {type(compare.value).__name__}")
    _check_branch(txn.success)
    _check_branch(txn.failure)
    if txn.fence is not None and not txn.fence.role:
        raise InvalidArgument("a fence without a role")


def _check_branch(operations: list[Operation]) -> None:
    written: set[str] = set()
    writes = 0
    for operation in operations:
        if isinstance(operation, DeletePrefix):
            writes += 1
            continue
        check_key(operation.key)
        if isinstance(operation, Get):
            continue
        writes += 1
        if operation.key in written:
            raise InvalidArgument(f"key {operation.key!r} is written twice in one transaction")
        written.add(operation.key)
    if writes > 1 and writes > len(written):
        raise InvalidArgument("a prefix deletion must be the only write of its branch")


def execute(txn: Txn, space: KeySpace, leases: LeaseTable) -> TxnResult | Refused:
    """Run a transaction at the next revision; a refusal leaves everything as it was."""
    succeeded = all(_holds(compare, space.get(compare.key)) for compare in txn.compares)
    operations = txn.success if succeeded else txn.failure
    for operation in operations:
        if isinstance(operation, Put) and operation.lease and operation.lease not in leases:
            return Refused("invalid", f"lease {operation.lease} does not exist")
    revision = space.revision + 1
    events_before = space.event_count()
    results = [_execute(operation, space, leases, revision) for operation in operations]
    if space.event_count() != events_before:
        space.revision = revision
    return TxnResult(succeeded, space.revision, results)


def _execute(operation: Operation, space: KeySpace, leases: LeaseTable, revision: int) -> KeyValue | int | None:
    match operation:
        case Put(key, value, lease):
            previous = space.get(key)
            kv = space.put(key, value, lease, revision)
            leases.moved(previous, kv)
            return None
        case Delete(key):
            deleted = space.delete(key, revision)
            leases.moved(deleted, None)
            return deleted
        case Get(key):
            return space.get(key)
        case DeletePrefix(prefix):
            return delete_keys(space.keys_under(prefix), space, leases, revision)


def delete_keys(keys: list[str], space: KeySpace, leases: LeaseTable, revision: int) -> int:
    """Delete keys at one revision, in the order given; how many were there."""
    count = 0
    for key in keys:
        deleted = space.delete(key, revision)
        leases.moved(deleted, None)
        count += deleted is not None
    return count


def _holds(compare: Compare, kv: KeyValue | None) -> bool:
    found: int | bytes
    match compare.target:
        case "mod":
            found = kv.mod_revision if kv is not None else 0
        case "create":
            found = kv.create_revision if kv is not None else 0
        case "version":
            found = kv.version if kv is not None else 0
        case "value":
            found = kv.value if kv is not None else _ABSENT_VALUE
    wanted = compare.value
    match compare.op:
        case "==":
            return found == wanted
        case "!=":
            return found != wanted
        case "<":
            return found < wanted  # type: ignore[operator]  # check() made the types agree
        case ">":
            return found > wanted  # type: ignore[operator]
