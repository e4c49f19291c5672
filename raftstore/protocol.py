"""The values clients and members exchange, and the commands the replicated log carries.

Everything is an immutable msgspec Struct, encoded as a msgpack array. A value's bytes are opaque to the store.
A `Proposal` is encoded once, by the client: members pass those very bytes on, into the log and to each other.
"""

from typing import Final, Literal

from msgspec import Struct

PROTOCOL_VERSION: Final = 1

# etcd's limits are the precedent: 1.5 MiB a request, 128 operations a transaction.
MAX_KEY_BYTES: Final = 4096
MAX_REQUEST_BYTES: Final = 3 << 19
MAX_OPERATIONS: Final = 128
MAX_FRAME_BYTES: Final = 8 << 20
"""The largest frame on any socket of the store; longer answers are cut into pages or fragments."""


class KeyValue(Struct, frozen=True, array_like=True, gc=False):
    """One version of one key. In a DELETE event it is the tombstone: version 0, no value."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


EventType = Literal["PUT", "DELETE"]


class WatchEvent(Struct, frozen=True, array_like=True, gc=False):
    """One key's change; `kv.mod_revision` is the revision at which it happened."""

    type: EventType
    kv: KeyValue
    prev_kv: KeyValue | None = None


class WatchBatch(Struct, frozen=True, array_like=True):
    """Every event under the prefix up to and including `revision`; without events it only reports progress."""

    revision: int
    events: list[WatchEvent]


# --- transactions


CompareTarget = Literal["mod", "create", "version", "value"]
CompareOperator = Literal["==", "!=", "<", ">"]


class Compare(Struct, frozen=True, array_like=True):
    """A condition on one key; an absent key has mod, create and version 0 and the value b""."""

    key: str
    target: CompareTarget
    op: CompareOperator
    value: int | bytes


class Put(Struct, frozen=True, array_like=True, tag="put"):
    """Write a key; a lease of 0 means that the key lives until it is deleted."""

    key: str
    value: bytes
    lease: int = 0


class Delete(Struct, frozen=True, array_like=True, tag="delete"):
    """Delete a key if it is there."""

    key: str


class DeletePrefix(Struct, frozen=True, array_like=True, tag="delete-prefix"):
    """Delete every key under a prefix; it stands alone among the writes of its branch."""

    prefix: str


class Get(Struct, frozen=True, array_like=True, tag="get"):
    """Read a key as the operations before it in the same transaction have left it."""

    key: str


Operation = Put | Delete | DeletePrefix | Get


class Fence(Struct, frozen=True, array_like=True):
    """The writer's epoch in a role; the store refuses an epoch older than the newest it has seen."""

    role: str
    epoch: int


# --- commands: what a client proposes and the log carries


class Txn(Struct, frozen=True, array_like=True, tag="txn"):
    """If every comparison holds run `success`, else `failure`; all events share one revision."""

    compares: list[Compare]
    success: list[Operation]
    failure: list[Operation] = []
    fence: Fence | None = None


class OpenSession(Struct, frozen=True, array_like=True, tag="open-session"):
    """Begin a session; its number, given by the log, makes a client's later commands exactly-once."""


class LeaseGrant(Struct, frozen=True, array_like=True, tag="lease-grant"):
    """Make a lease; keys written with it are deleted when it expires."""

    ttl_ms: int


class LeaseRevoke(Struct, frozen=True, array_like=True, tag="lease-revoke"):
    """End a lease and delete its keys; the leader proposes the same when the lease expires."""

    lease: int


class Compact(Struct, frozen=True, array_like=True, tag="compact"):
    """Forget versions that are not visible at `revision` or later."""

    revision: int


class ExpireSessions(Struct, frozen=True, array_like=True, tag="expire-sessions"):
    """Forget sessions that have not been used since `idle_since_ms` of the cluster's clock."""

    idle_since_ms: int


Command = Txn | OpenSession | LeaseGrant | LeaseRevoke | Compact | ExpireSessions


class Proposal(Struct, frozen=True, array_like=True):
    """A command with its identity. Session 0 is for commands that may be repeated without harm.

    `acknowledged`: every sequence up to it has been answered, so the store may forget those results.
    """

    session: int
    sequence: int
    acknowledged: int
    command: Command


# --- results: what applying a command gives


class TxnResult(Struct, frozen=True, array_like=True, tag="txn"):
    """For each operation: Put → None, Get and Delete → the key's value or None, DeletePrefix → a count."""

    succeeded: bool
    revision: int
    results: list[KeyValue | int | None]


class SessionOpened(Struct, frozen=True, array_like=True, tag="session"):
    """The number of the new session."""

    session: int


class LeaseGranted(Struct, frozen=True, array_like=True, tag="lease"):
    """The number of the new lease."""

    lease: int
    ttl_ms: int


class Done(Struct, frozen=True, array_like=True, tag="done"):
    """The command was applied; `revision` is the store's afterwards."""

    revision: int


ErrorCode = Literal[
    "unavailable", "unknown", "compacted", "future", "fenced", "too-large", "invalid", "session-expired"
]


class Refused(Struct, frozen=True, array_like=True, tag="refused"):
    """The command was not applied and changed nothing; `detail` is the compact revision where that matters."""

    code: ErrorCode
    message: str
    detail: int = 0


Result = TxnResult | SessionOpened | LeaseGranted | Done | Refused


# --- reads


class GetQuery(Struct, frozen=True, array_like=True, tag="get"):
    """One key at a revision (0: the newest)."""

    key: str
    revision: int = 0


class RangeQuery(Struct, frozen=True, array_like=True, tag="range"):
    """Keys under a prefix at a revision, from `start_key` (inclusive) on."""

    prefix: str
    start_key: str = ""
    revision: int = 0
    limit: int = 0


class RevisionQuery(Struct, frozen=True, array_like=True, tag="revision"):
    """The store's current revision."""


Query = GetQuery | RangeQuery | RevisionQuery


class RangeResult(Struct, frozen=True, array_like=True):
    """Keys in order; `count` is how many there are from `start_key` on, `more` that the limit cut them."""

    kvs: list[KeyValue]
    revision: int
    more: bool
    count: int


class PutResult(Struct, frozen=True, array_like=True):
    """The revision at which the key was written."""

    revision: int


Role = Literal["leader", "follower", "candidate"]


class StoreStatus(Struct, frozen=True):
    """One member's view of the cluster and of itself."""

    name: str
    role: Role
    leader: str
    term: int
    commit_index: int
    applied_index: int
    revision: int
    compact_revision: int
    members: list[str]
    version: str
    log_first_index: int = 0
    log_last_index: int = 0
    snapshot_index: int = 0
    key_count: int = 0
    value_bytes: int = 0
    journal_syncs: int = 0
    journal_bytes: int = 0
    cpu_seconds: float = 0.0
