"""Creating and changing objects: default, admit, prepare, claim, validate, then one compare-and-swap transaction.

Decisions rest on the cache, which may lag behind; the transaction says so, and the decision is made again on the
state that is really there. Nothing is ever written on the ground of a stale read, and no change is lost.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from master.api.meta import Object
from master.api.scheme import ResourceInfo
from master.api.status import (
    AlreadyExists,
    ApiError,
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    OutcomeUnknown,
    ServiceUnavailable,
)
from master.api.timestamps import now_rfc3339
from master.apiserver import errors, keys
from master.apiserver.admission.attributes import Attributes, Operation
from master.apiserver.admission.chain import admit, claim
from master.apiserver.authn import User
from master.apiserver.context import Context, Env
from master.apiserver.entry import Entry, entry_of
from master.apiserver.storage import Committed, Refused, Transaction
from raftstore.protocol import Fence

ATTEMPTS = 8
"""Attempts of one write whose conditions keep changing (kube-apiserver makes 5 for a patch, 8 for a name)."""
TRUSTED_SUBRESOURCES = frozenset({"binding", "finalize"})
"""Subresources whose handler changes one field itself: the rules for clients' updates forbid just that change."""
NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names: no vowels, so that no words arise."""
GENERATED_PREFIX_MAX = 58


@dataclass(slots=True, frozen=True)
class Write:
    """One write request, without its object."""

    context: Context
    info: ResourceInfo
    namespace: str
    user: User
    name: str = ""
    subresource: str = ""
    dry_run: bool = False
    fence: Fence | None = None

    def key(self, name: str = "") -> str:
        return keys.object_key(self.info, self.namespace, name or self.name)

    def relative_key(self, name: str = "") -> str:
        return keys.relative_key(self.info, self.namespace, name or self.name)

    def cached(self) -> Entry | None:
        return self.context.feed.of(self.info).get(self.relative_key())

    def attributes(
        self, operation: Operation, transaction: Transaction, attempt: int, *, new: Any, old: Any
    ) -> Attributes:
        """This write as admission sees it."""
        return Attributes(
            context=self.context,
            operation=operation,
            info=self.info,
            subresource=self.subresource,
            namespace=self.namespace,
            name=self.name,
            new=new,
            old=old,
            user=self.user,
            transaction=transaction,
            attempt=attempt,
        )


Make = Callable[[], Any]
"""Gives the object to be created, afresh for each attempt."""
Change = Callable[[Any], Any]
"""(stored object, the caller's own copy) → the object that is wanted instead. May raise an ApiError."""


async def create(write: Write, make: Make) -> Entry:
    """Store a new object; the entry that was stored, or would be in a dry run.

    As in `settle`, a refusal counts only on a state that is certain to be the newest.
    """
    certain = taken = False
    for attempt in range(ATTEMPTS):
        obj: Object = make()
        transaction = Transaction()
        try:
            generated = await prepare_create(write, obj, transaction, attempt)
        except ApiError as error:
            if certain or isinstance(error, OutcomeUnknown | ServiceUnavailable):
                raise
            await write.context.catch_up()
            certain = True
            continue
        raw = write.info.encode(obj)
        name = obj.metadata.name
        key = write.key(name)
        transaction.require_absent(key)
        if write.dry_run:
            if await _exists(write, name):
                raise AlreadyExists.of(write.info, name)
            return Entry(write.info, write.relative_key(name), 0, raw)
        transaction.put(key, raw, await write.context.event_leases.lease_for(write.info))
        outcome = await write.context.storage.commit(transaction, write.fence)
        if isinstance(outcome, Committed):
            return entry_of(write.info, write.relative_key(name), outcome.revision, raw)
        taken = outcome.current[key] is not None
        if taken and not generated:
            raise AlreadyExists.of(write.info, name)
        await write.context.catch_up()
        certain = True
    if taken:
        raise errors.make(409, "AlreadyExists", f"no free name was found in {ATTEMPTS} attempts")
    raise errors.unavailable(f"what the object rests on kept changing over {ATTEMPTS} attempts")


async def _exists(write: Write, name: str) -> bool:
    await write.context.catch_up()
    return write.context.feed.of(write.info).get(write.relative_key(name)) is not None


async def prepare_create(write: Write, obj: Any, transaction: Transaction, attempt: int) -> bool:
    """Make the object what will be stored. True when its name was generated."""
    info, env, metadata = write.info, write.context.env, obj.metadata
    obj.kind, obj.api_version = info.kind, info.api_version
    generated = not metadata.name and bool(metadata.generate_name)
    if generated:
        metadata.name = generated_name(env, metadata.generate_name)
    metadata.namespace = write.namespace if info.namespaced else ""
    metadata.uid = env.uuid()
    metadata.creation_timestamp = now_rfc3339(env.now())
    metadata.deletion_timestamp = metadata.deletion_grace_period_seconds = None
    metadata.resource_version = metadata.self_link = ""
    metadata.managed_fields = []
    obj = info.default(obj)
    attributes = write.attributes("CREATE", transaction, attempt, new=obj, old=None)
    attributes.namespace, attributes.name = metadata.namespace, metadata.name
    await admit(attributes)
    info.strategy.prepare_create(obj)
    await claim(attributes)
    problems = info.validate(obj)
    if problems:
        raise Invalid.of(info, metadata.name, problems)
    return generated


def generated_name(env: Env, prefix: str) -> str:
    return prefix[:GENERATED_PREFIX_MAX] + "".join(env.rng.choice(NAME_LETTERS) for _ in range(5))


@dataclass(slots=True)
class Stored:
    """The state that an attempt starts from, and whether it is certain to be the newest."""

    entry: Entry | None
    certain: bool


@dataclass(slots=True, frozen=True)
class Outcome:
    """What an attempt came to: the object now, whether the store changed, whether the object is gone."""

    entry: Entry
    changed: bool = True
    gone: bool = False
    created: bool = False


Attempt = Callable[[Entry, int], Awaitable[Outcome | Refused]]


async def settle(write: Write, attempt: Attempt) -> Outcome:
    """Repeat an attempt until it rests on the state that is really there. Raises NotFound without one.

    A refusal, and the verdict that nothing needs to change, count only on a state that is certain to be the newest.
    """
    stored = Stored(write.cached(), certain=False)
    for number in range(ATTEMPTS):
        if stored.entry is None and not stored.certain:
            stored = await _certain(write)
        seen = stored.entry
        if seen is None:
            raise NotFound.of(write.info, write.name)
        try:
            outcome = await attempt(seen, number)
        except ApiError as error:
            if stored.certain or isinstance(error, OutcomeUnknown | ServiceUnavailable):
                raise
            stored = await _certain(write)
            continue
        if isinstance(outcome, Refused):
            stored = await _after_refusal(write, outcome)
        elif outcome.changed or stored.certain:
            return outcome
        else:
            fresh = await _certain(write)
            if fresh.entry is not None and fresh.entry.revision == seen.revision:
                return outcome
            stored = fresh
    raise Conflict.of(write.info, write.name)


async def update(write: Write, change: Change) -> Outcome:
    """Change a stored object."""
    return await settle(write, lambda entry, number: _attempt(write, entry, change, number))


async def _certain(write: Write) -> Stored:
    await write.context.catch_up()
    return Stored(write.cached(), certain=True)


async def _after_refusal(write: Write, outcome: Refused) -> Stored:
    current = outcome.current.get(write.key())
    if current is None:
        return await _certain(write)
    entry = entry_of(write.info, write.relative_key(), current.mod_revision, current.value)
    return Stored(entry, certain=True)


async def _attempt(write: Write, entry: Entry, change: Change, attempt: int) -> Outcome | Refused:
    """One try from one stored state."""
    info, context = write.info, write.context
    old = info.decode(entry.data)
    new = change(info.decode(entry.data))
    new.kind, new.api_version = info.kind, info.api_version
    transaction = Transaction()
    await prepare_update(write, new, old, transaction, attempt)
    raw = info.encode(new)
    if keys.with_revision(raw, entry.revision) == entry.data:
        return Outcome(entry, changed=False)
    if write.dry_run:
        return Outcome(Entry(info, entry.key, entry.revision, keys.with_revision(raw, entry.revision)))
    key = write.key()
    transaction.require_revision(key, entry.revision)
    gone = is_finished(new)
    if gone:
        await release(write, new, transaction)
        transaction.delete(key)
    else:
        transaction.put(key, raw, await context.event_leases.lease_for(info))
    outcome = await context.storage.commit(transaction, write.fence)
    if isinstance(outcome, Refused):
        return outcome
    return Outcome(entry_of(info, entry.key, outcome.revision, raw), gone=gone)


async def prepare_update(write: Write, new: Any, old: Any, transaction: Transaction, attempt: int) -> None:
    """Admit, keep what a client may not change, default, claim, validate."""
    info = write.info
    check_identity(info, new, old, write.name)
    keep_metadata(new, old)
    attributes = write.attributes("UPDATE", transaction, attempt, new=new, old=old)
    await admit(attributes)
    if write.subresource == "status":
        info.strategy.prepare_status_update(new, old)
    elif write.subresource in ("", "scale"):
        info.strategy.prepare_update(new, old)
    info.default(new)
    await claim(attributes)
    problems = [] if write.subresource in TRUSTED_SUBRESOURCES else info.validate_update(new, old)
    problems += _finalizer_problems(new, old)
    if problems:
        raise Invalid.of(info, write.name, problems)


def check_identity(info: ResourceInfo, new: Object, old: Object, name: str) -> None:
    """Name, namespace, uid and resourceVersion of the body against the stored object's."""
    metadata = new.metadata
    if metadata.name != name:
        raise errors.bad_request(
            f"the name of the object ({metadata.name}) does not match the name on the URL ({name})"
        )
    if info.namespaced and metadata.namespace not in ("", old.metadata.namespace):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if metadata.uid and metadata.uid != old.metadata.uid:
        why = f"Precondition failed: UID in precondition: {metadata.uid}, UID in object meta: {old.metadata.uid}"
        raise Conflict.of(info, name, why)
    version = metadata.resource_version
    if version and version != "0" and version != old.metadata.resource_version:
        raise Conflict.of(info, name)


def keep_metadata(new: Object, old: Object) -> None:
    metadata, stored = new.metadata, old.metadata
    metadata.namespace = stored.namespace
    metadata.uid = stored.uid
    metadata.resource_version = metadata.self_link = ""
    metadata.creation_timestamp = stored.creation_timestamp
    metadata.deletion_timestamp = stored.deletion_timestamp
    metadata.deletion_grace_period_seconds = stored.deletion_grace_period_seconds
    metadata.generate_name = metadata.generate_name or stored.generate_name
    metadata.managed_fields = []
    stored.resource_version = ""


def _finalizer_problems(new: Object, old: Object) -> list[FieldError]:
    if old.metadata.deletion_timestamp is None:
        return []
    added = [name for name in new.metadata.finalizers if name not in old.metadata.finalizers]
    if not added:
        return []
    listed = ", ".join(f'"{name}"' for name in added)
    why = "no new finalizers can be added if the object is being deleted, found new finalizers []string"
    return [FieldError.forbidden("metadata.finalizers", f"{why}{{{listed}}}")]


def is_finished(obj: Any) -> bool:
    """Marked for deletion, with nothing left to wait for: no grace, no finalizers."""
    metadata = obj.metadata
    if metadata.deletion_timestamp is None or metadata.finalizers or metadata.deletion_grace_period_seconds:
        return False
    return not (obj.kind == "Namespace" and obj.spec.finalizers)


async def release(write: Write, obj: Any, transaction: Transaction) -> None:
    """Let go of what the object holds besides itself; the plugins that claimed it know what that is."""
    attributes = write.attributes("DELETE", transaction, 0, new=None, old=obj)
    attributes.subresource = ""
    await admit(attributes)
    await claim(attributes)
