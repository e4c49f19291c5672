"""DELETE: preconditions, grace, finalizers, removal; in that order, as one transaction on the state that is there."""

import asyncio
from collections.abc import Callable
from typing import Any

from master.api.meta import DeleteOptions, ObjectMeta
from master.api.scheme import ResourceInfo
from master.api.status import FieldError, NotFound
from master.api.timestamps import now_rfc3339, parse_rfc3339
from master.apiserver import errors
from master.apiserver.admission.chain import admit, claim
from master.apiserver.entry import Entry, entry_of
from master.apiserver.handlers.write import Outcome, Write, settle
from master.apiserver.storage import Refused, Transaction

ORPHAN, FOREGROUND, BACKGROUND = "Orphan", "Foreground", "Background"
POLICY_FINALIZERS = {ORPHAN: "orphan", FOREGROUND: "foregroundDeletion"}
FINISHED_PHASES = ("Succeeded", "Failed")
DEFAULT_GRACE_S = 30
COLLECTION_PARALLEL = 16
"""Deletions of one collection that are under way at once."""


def check_options(options: DeleteOptions) -> None:
    """The faults of DeleteOptions, in Kubernetes' words."""
    problems: list[FieldError] = []
    policy = options.propagation_policy
    if policy is not None and options.orphan_dependents is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(FieldError.invalid("propagationPolicy", policy, why))
    elif policy is not None and policy not in (ORPHAN, FOREGROUND, BACKGROUND):
        problems.append(FieldError.not_supported("propagationPolicy", policy, [FOREGROUND, BACKGROUND, ORPHAN, "nil"]))
    if options.dry_run and options.dry_run != ["All"]:
        problems.append(FieldError.not_supported("dryRun", options.dry_run, ["All"]))
    if problems:
        raise errors.invalid_options("DeleteOptions", problems)


async def delete(write: Write, options: DeleteOptions) -> Outcome:
    return await settle(write, lambda entry, number: _attempt(write, options, entry, number))


async def delete_all(write: Callable[[Entry], Write], entries: list[Entry], options: DeleteOptions) -> list[Entry]:
    """Delete each of the objects; the ones that were there."""
    places = asyncio.Semaphore(COLLECTION_PARALLEL)

    async def one(entry: Entry) -> Entry | None:
        async with places:
            try:
                return (await delete(write(entry), options)).entry
            except NotFound:
                return None

    results = await asyncio.gather(*(one(entry) for entry in entries), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise failures[0]
    return [result for result in results if isinstance(result, Entry)]


async def _attempt(write: Write, options: DeleteOptions, entry: Entry, number: int) -> Outcome | Refused:
    info = write.info
    obj = info.decode(entry.data)
    check_preconditions(info, obj.metadata, options)
    obj.metadata.resource_version = ""
    before = info.encode(obj)
    gone = mark(info, obj, options, write.context.env.now())
    raw = info.encode(obj)
    if not gone and raw == before:
        return Outcome(entry, changed=False)
    transaction = Transaction()
    await _admit(write, obj if gone else None, transaction, number)
    if write.dry_run:
        return Outcome(entry_of(info, entry.key, entry.revision, raw), gone=gone)
    key = write.key()
    transaction.require_revision(key, entry.revision)
    if gone:
        transaction.delete(key)
    else:
        transaction.put(key, raw)
    outcome = await write.context.storage.commit(transaction, write.fence)
    if isinstance(outcome, Refused):
        return outcome
    return Outcome(entry_of(info, entry.key, outcome.revision, raw), gone=gone)


async def _admit(write: Write, removed: Any, transaction: Transaction, number: int) -> None:
    attributes = write.attributes("DELETE", transaction, number, new=None, old=removed)
    attributes.subresource = "" if removed is not None else "mark"
    await admit(attributes)
    await claim(attributes)


def check_preconditions(info: ResourceInfo, metadata: ObjectMeta, options: DeleteOptions) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    after = "The object might have been deleted and then recreated"
    if wanted.uid is not None and wanted.uid != metadata.uid:
        why = f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({metadata.uid}). {after}"
        raise errors.kind_conflict(info, metadata.name, why)
    version = wanted.resource_version
    if version is not None and version != metadata.resource_version:
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({metadata.resource_version}). The object might have been modified"
        )
        raise errors.kind_conflict(info, metadata.name, why)


def mark(info: ResourceInfo, obj: Any, options: DeleteOptions, now: float) -> bool:
    """Change the object as its deletion demands; True when it is to be removed at once."""
    metadata = obj.metadata
    if info.kind == "Namespace" and not info.group:
        return _mark_namespace(obj, now)
    _set_policy_finalizer(info, metadata, options)
    if info.strategy.graceful_delete and _mark_graceful(obj, options, now):
        return False
    if metadata.deletion_timestamp is None or metadata.deletion_grace_period_seconds:
        metadata.deletion_timestamp = now_rfc3339(now)
    metadata.deletion_grace_period_seconds = 0
    return not metadata.finalizers


def _mark_namespace(namespace: Any, now: float) -> bool:
    """A namespace waits until its content is gone; the namespace controller then clears `spec.finalizers`."""
    if namespace.metadata.deletion_timestamp is None:
        namespace.metadata.deletion_timestamp = now_rfc3339(now)
        namespace.status.phase = "Terminating"
    return not namespace.spec.finalizers and not namespace.metadata.finalizers


def _set_policy_finalizer(info: ResourceInfo, metadata: ObjectMeta, options: DeleteOptions) -> None:
    """The garbage collector reads from a finalizer what is to become of the dependents."""
    policy = options.propagation_policy
    if policy is None and options.orphan_dependents is not None:
        policy = ORPHAN if options.orphan_dependents else BACKGROUND
    present = set(metadata.finalizers) & set(POLICY_FINALIZERS.values())
    if policy is None and not present:
        policy = info.strategy.default_propagation or BACKGROUND
    if policy is None:
        return
    wanted = POLICY_FINALIZERS.get(policy)
    kept = [name for name in metadata.finalizers if name == wanted or name not in present]
    metadata.finalizers = kept if wanted is None or wanted in kept else [*kept, wanted]


def _mark_graceful(pod: Any, options: DeleteOptions, now: float) -> bool:
    """Give the pod its time; False when there is none to give and it may go at once."""
    metadata = pod.metadata
    asked = options.grace_period_seconds
    if metadata.deletion_timestamp is not None:
        return _shorten_grace(metadata, asked)
    granted = asked
    if granted is None:
        granted = pod.spec.termination_grace_period_seconds
    grace_s = DEFAULT_GRACE_S if granted is None else granted
    if not pod.spec.node_name or pod.status.phase in FINISHED_PHASES:
        grace_s = 0
    if grace_s < 0:
        grace_s = 1
    if grace_s == 0:
        return False
    metadata.deletion_timestamp = now_rfc3339(now + grace_s)
    metadata.deletion_grace_period_seconds = grace_s
    metadata.generation += 1
    return True


def _shorten_grace(metadata: ObjectMeta, asked: int | None) -> bool:
    """A second deletion may shorten the grace, never lengthen it."""
    current = metadata.deletion_grace_period_seconds or 0
    if asked is None or asked >= current:
        return current > 0
    if asked <= 0:
        return False
    assert metadata.deletion_timestamp is not None
    began = parse_rfc3339(metadata.deletion_timestamp) - current
    metadata.deletion_timestamp = now_rfc3339(began + asked)
    metadata.deletion_grace_period_seconds = asked
    return True
