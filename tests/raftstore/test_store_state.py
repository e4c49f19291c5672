"""The replicated state machine: transactions, leases, sessions, fences, snapshots, determinism."""

import os
import random
import subprocess
import sys

import msgspec
import pytest
from msgspec import Raw

from raftstore.errors import InvalidArgument, TooLarge
from raftstore.housekeeping import Housekeeping
from raftstore.lease import LeaseDeadlines
from raftstore.protocol import (
    MAX_OPERATIONS,
    Command,
    Compact,
    Compare,
    Delete,
    DeletePrefix,
    Done,
    ExpireSessions,
    Fence,
    Get,
    LeaseGrant,
    LeaseGranted,
    LeaseRevoke,
    OpenSession,
    Proposal,
    Put,
    Refused,
    Result,
    SessionOpened,
    Txn,
    TxnResult,
)
from raftstore.session import MAX_SESSIONS
from raftstore.state import StateMachine, check_command, encode_batch


def apply(machine: StateMachine, *commands: Command, time_ms: int = 0) -> list[Result]:
    return propose(machine, *(Proposal(0, 0, 0, command) for command in commands), time_ms=time_ms)


def propose(machine: StateMachine, *proposals: Proposal, time_ms: int = 0) -> list[Result]:
    return machine.apply(encode_batch(time_ms, [Raw(msgspec.msgpack.encode(proposal)) for proposal in proposals]))


def put(key: str, value: bytes, lease: int = 0) -> Txn:
    return Txn([], [Put(key, value, lease)])


def test_a_transaction_takes_one_revision_for_all_its_events() -> None:
    machine = StateMachine()
    (result,) = apply(machine, Txn([], [Put("/a", b"1"), Put("/b", b"2"), Get("/a"), Delete("/none")]))
    assert isinstance(result, TxnResult)
    assert (result.succeeded, result.revision) == (True, 2)
    assert result.results[0] is None and result.results[3] is None
    assert result.results[2] == machine.space.get("/a")
    assert {event.kv.mod_revision for event in machine.space.events_since(1, 10)} == {2}


def test_a_transaction_that_changes_nothing_takes_no_revision() -> None:
    machine = StateMachine()
    (result,) = apply(machine, Txn([], [Get("/a"), Delete("/a"), DeletePrefix("/")]))
    assert result == TxnResult(True, 1, [None, None, 0])


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        (Compare("/a", "mod", "==", 3), True),
        (Compare("/a", "mod", ">", 3), False),
        (Compare("/a", "create", "==", 2), True),
        (Compare("/a", "create", "!=", 2), False),
        (Compare("/a", "version", "==", 2), True),
        (Compare("/a", "version", "<", 2), False),
        (Compare("/a", "value", "==", b"2"), True),
        (Compare("/a", "value", "<", b"3"), True),
        (Compare("/none", "mod", "==", 0), True),
        (Compare("/none", "create", "==", 0), True),
        (Compare("/none", "version", ">", 0), False),
        (Compare("/none", "value", "==", b""), True),
    ],
)
def test_comparisons_decide_which_branch_runs(compare: Compare, holds: bool) -> None:
    machine = StateMachine()
    apply(machine, put("/a", b"1"), put("/a", b"2"))
    (result,) = apply(machine, Txn([compare], [Put("/then", b"")], [Put("/else", b"")]))
    assert isinstance(result, TxnResult)
    assert result.succeeded is holds
    assert (machine.space.get("/then") is not None) is holds
    assert (machine.space.get("/else") is None) is holds


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (Txn([], [Put("", b"")]), InvalidArgument),
        (Txn([], [Put("k" * 5000, b"")]), TooLarge),
        (Txn([], [Put("/a", b"1"), Put("/a", b"2")]), InvalidArgument),
        (Txn([], [Put("/a", b"1"), Delete("/a")]), InvalidArgument),
        (Txn([], [Put("/a", b"1"), DeletePrefix("/b")]), InvalidArgument),
        (Txn([], [DeletePrefix("/a"), DeletePrefix("/b")]), InvalidArgument),
        (Txn([], [Get("/a")] * (MAX_OPERATIONS + 1)), TooLarge),
        (Txn([Compare("/a", "value", "==", 1)], []), InvalidArgument),
        (Txn([Compare("/a", "mod", "==", b"1")], []), InvalidArgument),
        (Txn([], [], fence=Fence("", 1)), InvalidArgument),
        (LeaseGrant(1), InvalidArgument),
    ],
)
def test_what_could_not_be_applied_is_refused_before_it_is_logged(command: Command, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_command(command)


def test_a_revoked_lease_takes_its_keys_along_and_only_those() -> None:
    machine = StateMachine()
    granted, other = apply(machine, LeaseGrant(1000), LeaseGrant(1000))
    assert isinstance(granted, LeaseGranted) and isinstance(other, LeaseGranted)
    apply(machine, put("/a", b"", granted.lease), put("/b", b"", granted.lease), put("/c", b"", other.lease))
    apply(machine, put("/b", b"free"))  # no longer on the lease
    (done,) = apply(machine, LeaseRevoke(granted.lease))
    assert isinstance(done, Done)
    assert machine.space.keys_under("/") == ["/b", "/c"]
    (again,) = apply(machine, LeaseRevoke(granted.lease))
    assert isinstance(again, Refused)


def test_a_key_cannot_hang_on_a_lease_that_does_not_exist() -> None:
    machine = StateMachine()
    (result,) = apply(machine, Txn([], [Put("/x", b""), Put("/a", b"", 77)]))
    assert isinstance(result, Refused)
    assert machine.space.revision == 1 and machine.space.get("/x") is None


def test_lease_deadlines_expire_once_and_are_renewed() -> None:
    deadlines = LeaseDeadlines()
    deadlines.follow({1: 1000, 2: 2000}, 10.0)
    deadlines.renew(1, 1000, 10.9)
    assert deadlines.pop_expired(11.5, 10) == []
    assert deadlines.pop_expired(12.0, 10) == [1, 2]
    assert deadlines.pop_expired(20.0, 10) == []
    deadlines.follow({2: 2000}, 20.0)  # the revocation was lost: it is followed anew
    assert deadlines.pop_expired(22.0, 10) == [2]


def test_a_lease_whose_revocation_is_under_way_is_not_renewed() -> None:
    """Whoever hears that it lives on must be able to rely on it, however long the revocation takes."""
    machine = StateMachine()
    apply(machine, LeaseGrant(1000))
    proposed: list[Command] = []
    housekeeping = Housekeeping(machine, proposed.append)
    housekeeping.run(10.0, is_leader=True)
    assert housekeeping.renew_lease(1, 10.5) == 1000
    housekeeping.run(11.5, is_leader=True)
    housekeeping.run(11.6, is_leader=True)
    assert proposed == [LeaseRevoke(1)]
    assert housekeeping.renew_lease(1, 11.6) == 0
    apply(machine, *proposed)
    housekeeping.run(11.7, is_leader=True)
    assert housekeeping.renew_lease(1, 11.7) == 0
    housekeeping.run(11.8, is_leader=False)  # a revocation of a former reign binds nobody
    apply(machine, LeaseGrant(1000))
    assert housekeeping.renew_lease(2, 11.9) == 1000


def test_a_fence_refuses_an_older_epoch_of_its_role_and_no_other() -> None:
    machine = StateMachine()

    def fenced(role: str, epoch: int) -> Result:
        return apply(machine, Txn([], [Put(f"/{role}", b"%d" % epoch)], fence=Fence(role, epoch)))[0]

    assert isinstance(fenced("scheduler", 5), TxnResult)
    refusal = fenced("scheduler", 4)
    assert isinstance(refusal, Refused) and refusal.code == "fenced"
    assert isinstance(fenced("scheduler", 5), TxnResult)
    assert isinstance(fenced("controllers", 1), TxnResult)
    kv = machine.space.get("/scheduler")
    assert kv is not None and kv.value == b"5"


def test_a_repeated_command_is_applied_once_and_answered_alike() -> None:
    machine = StateMachine()
    (opened,) = apply(machine, OpenSession())
    assert isinstance(opened, SessionOpened)
    proposal = Proposal(opened.session, 1, 0, put("/a", b"1"))
    (first,) = propose(machine, proposal)
    propose(machine, Proposal(opened.session, 2, 0, put("/a", b"2")))
    (repeated,) = propose(machine, proposal)
    assert repeated == first
    assert machine.space.revision == 3
    kv = machine.space.get("/a")
    assert kv is not None and kv.value == b"2"


def test_a_late_repetition_of_an_acknowledged_command_is_refused() -> None:
    machine = StateMachine()
    apply(machine, OpenSession())
    old = Proposal(1, 1, 0, put("/a", b"old"))
    propose(machine, old)
    propose(machine, Proposal(1, 2, 1, put("/a", b"new")))
    (late,) = propose(machine, old)
    assert isinstance(late, Refused) and late.code == "unknown"
    assert machine.sessions.sessions[1].results.keys() == {2}
    assert machine.space.revision == 3


def test_commands_of_an_expired_session_are_refused() -> None:
    machine = StateMachine()
    apply(machine, OpenSession(), time_ms=1000)
    apply(machine, OpenSession(), time_ms=5000)
    apply(machine, ExpireSessions(2000), time_ms=6000)
    (gone,) = propose(machine, Proposal(1, 1, 0, put("/a", b"")))
    assert isinstance(gone, Refused) and gone.code == "session-expired"
    assert isinstance(propose(machine, Proposal(2, 1, 0, put("/a", b"")))[0], TxnResult)


def test_the_longest_unused_session_makes_room() -> None:
    machine = StateMachine()
    apply(machine, *[OpenSession()] * MAX_SESSIONS)
    propose(machine, Proposal(1, 1, 0, put("/a", b"")), time_ms=10)
    apply(machine, OpenSession(), time_ms=11)
    assert 1 in machine.sessions.sessions and 2 not in machine.sessions.sessions
    assert len(machine.sessions.sessions) == MAX_SESSIONS


def test_the_cluster_clock_never_runs_backwards() -> None:
    machine = StateMachine()
    apply(machine, OpenSession(), time_ms=100)
    apply(machine, OpenSession(), time_ms=50)
    assert machine.time_ms == 100


def random_batches(seed: int, count: int) -> list[bytes]:
    """Batches of commands of every kind, many of them refused."""
    rng = random.Random(seed)
    batches = []
    for number in range(count):
        proposals = []
        for _ in range(rng.randint(1, 4)):
            key = f"/{rng.choice('abc')}/{rng.randint(0, 9)}"
            command: Command = rng.choice(
                [
                    put(key, rng.randbytes(rng.randint(0, 9)), rng.choice([0, 0, 1, 2])),
                    Txn([Compare(key, "mod", ">", 0)], [Delete(key)], [Put(key, b"", rng.choice([0, 1]))]),
                    Txn([], [DeletePrefix(key[:2])]),
                    Txn([], [Get(key)], fence=Fence(rng.choice("xyz"), rng.randint(0, number))),
                    LeaseGrant(1000 + number),
                    LeaseRevoke(rng.randint(1, 5)),
                    OpenSession(),
                    Compact(rng.randint(0, number)),
                    ExpireSessions(number // 2),
                ]
            )
            proposals.append(Proposal(rng.randint(0, 3), rng.randint(1, number + 1), number // 3, command))
        batches.append(encode_batch(number, [Raw(msgspec.msgpack.encode(proposal)) for proposal in proposals]))
    return batches


def fingerprint(machine: StateMachine) -> bytes:
    """The whole state in an order of its own."""
    view = machine.space.view()
    state = (
        view.revision,
        view.compact_revision,
        machine.time_ms,
        sorted(view.base(), key=lambda kv: kv.key),
        view.events,
        sorted(machine.sessions.sessions.items()),
        sorted(machine.leases.ttls_ms().items()),
        sorted((lease, sorted(keys)) for lease, keys in machine.leases._keys.items()),
        (machine.sessions.next_id, machine.leases.next_id),
        sorted(machine.fences.items()),
    )
    return msgspec.msgpack.encode(state)


@pytest.mark.parametrize("seed", range(5))
def test_a_snapshot_taken_at_any_moment_continues_as_the_original(seed: int) -> None:
    batches = random_batches(seed, 60)
    original = StateMachine()
    for position, batch in enumerate(batches):
        original.apply(batch)
        if position % 7 == 0:
            chunks = original.capture()
            copy = StateMachine()
            copy.apply(random_batches(99, 1)[0])  # whatever was there before is gone
            copy.restore(iter(list(chunks)))
            assert fingerprint(copy) == fingerprint(original)
            for later in batches[position + 1 :]:
                copy.apply(later)
            complete = StateMachine()
            for any_batch in batches:
                complete.apply(any_batch)
            assert fingerprint(copy) == fingerprint(complete)


def test_a_capture_is_of_its_moment_although_the_state_goes_on() -> None:
    machine = StateMachine()
    apply(machine, *(put(f"/k/{number}", b"before") for number in range(500)))
    before = fingerprint(machine)
    chunks = machine.capture()
    next(chunks)
    apply(machine, Txn([], [DeletePrefix("/k/")]), Compact(2))
    copy = StateMachine()
    copy.restore(machine_chunks(machine, chunks))
    assert fingerprint(copy) == before


def machine_chunks(machine: StateMachine, rest):  # type: ignore[no-untyped-def]
    """The header of the capture was already taken: make it again from a machine of that moment."""
    original = StateMachine()
    apply(original, *(put(f"/k/{number}", b"before") for number in range(500)))
    yield next(original.capture())
    yield from rest


def test_applying_is_the_same_in_every_process() -> None:
    program = (
        "import sys, zlib; sys.path.insert(0, sys.argv[1])\n"
        "import test_store_state as t\n"
        "from raftstore.state import StateMachine\n"
        "m = StateMachine(); results = [m.apply(b) for b in t.random_batches(3, 200)]\n"
        "print(zlib.crc32(t.fingerprint(m)), zlib.crc32(t.msgspec.msgpack.encode(results)))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, os.path.dirname(__file__)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
