"""The Raft core in a simulated world: random faults, and the particular holes of stock PySyncObj."""

from collections.abc import Callable
from typing import Any

import pytest
import raftstore_simulation
from msgspec import Raw
from raftstore_simulation import Violation, World

from raftstore.errors import FatalStoreError
from raftstore.raft.base import SUCCESS, UNKNOWN_OUTCOME
from raftstore.raft.core import RaftCore
from raftstore.raft.messages import ENCODER, AppendEntries, RequestVote


def random_history(world: World, seconds: float) -> None:
    rng = world.random
    end = world.now_s + seconds
    while world.now_s < end:
        match rng.randint(0, 11):
            case 0:
                world.cut.add(tuple(sorted(rng.sample(world.names, 2))))  # type: ignore[arg-type]
            case 1 | 2:
                world.cut.clear()
            case 3:
                one, other = rng.sample(world.names, 2)
                world.disconnect(one, other)
            case 4:
                world.crash(rng.choice(world.names))
            case 5 | 6:
                for name in world.names:
                    if name not in world.cores:
                        world.start(name)
            case 7:
                world.paused = {rng.choice(world.names)}
            case 8:
                world.paused.clear()
            case 9 if world.leader is not None:
                world.cores[world.leader].transfer_leadership()
            case 10 if world.cores:
                world.cores[rng.choice(list(world.cores))].request_snapshot()
        for _ in range(rng.randint(1, 6)):
            for name, core in list(world.cores.items()):
                if core.is_leader and name not in world.paused:
                    for _ in range(rng.randint(0, 4)):
                        world.write(name)
                if rng.random() < 0.3 and name not in world.paused:
                    world.read(name)
            world.run(rng.uniform(0.02, 0.3))


@pytest.mark.parametrize("seed", range(24))
def test_no_promise_is_broken_under_random_faults(seed: int) -> None:
    world = World(seed, 5 if seed % 4 == 3 else 3, crash_rate=0.0005 if seed % 2 else 0.0)
    random_history(world, 40.0)
    world.heal_and_check()
    assert world.acknowledged


def elect(world: World) -> tuple[str, list[str]]:
    world.until(lambda: world.leader is not None)
    world.run(0.5)
    leader = world.leader
    assert leader is not None
    return leader, [name for name in world.names if name != leader]


def write_all(world: World, name: str, count: int) -> None:
    values = [world.write(name) for _ in range(count)]
    world.until(lambda: world.acknowledged.issuperset(values))


def append(world: World, leader: str, previous: int, entries: list, commit_index: int) -> AppendEntries:
    core = world.cores[leader]
    term_before = core._term_at(previous)
    return AppendEntries(
        core.raftCurrentTerm, previous, term_before, Raw(ENCODER.encode(entries)), commit_index, 0, 1, 0
    )


def test_a_repeated_old_message_does_not_cut_acknowledged_entries() -> None:
    """Stock PySyncObj deletes everything after the previous index of any message (its hole S2)."""
    world = World(1)
    leader, (follower, _) = elect(world)
    write_all(world, leader, 10)
    journal = world.transports[leader].journal
    last = world.cores[follower].log_bounds[1]
    old = append(world, leader, 2, journal.entries(3, 4), 4)
    world.transports[follower]._onMessageReceived(world.node(follower, leader), old)
    assert world.cores[follower].log_bounds[1] == last


def test_a_follower_commits_only_what_a_message_has_verified() -> None:
    """Stock PySyncObj takes the leader's commit index for its own unverified tail (its hole S1)."""
    world = World(2)
    leader, (follower, other) = elect(world)
    world.cut = {tuple(sorted((leader, follower))), tuple(sorted((leader, other)))}  # type: ignore[arg-type]
    stale = world.write(leader)  # stays in the old leader's log only
    world.run(0.1)
    old_leader = leader
    world.until(lambda: world.leader not in (None, old_leader))
    leader = world.leader
    assert leader is not None
    write_all(world, leader, 3)
    core = world.cores[old_leader]
    commit_before = core.raftCommitIndex
    heartbeat = append(world, leader, commit_before, [], commit_before + 2)
    world.transports[old_leader]._onMessageReceived(world.node(old_leader, leader), heartbeat)
    core.doTick()
    assert core.raftCommitIndex == commit_before
    assert stale not in world.acknowledged
    world.heal_and_check()
    assert stale not in world.acknowledged


def test_a_cut_off_leader_resigns_and_answers_its_proposers() -> None:
    world = World(3)
    leader, followers = elect(world)
    world.cut = {tuple(sorted((leader, follower))) for follower in followers}  # type: ignore[misc]
    outcomes: list[int] = []
    world.cores[leader].propose(b"0", lambda result, outcome: outcomes.append(outcome))
    world.run(1.5)
    assert not world.cores[leader].is_leader
    assert outcomes == [UNKNOWN_OUTCOME]
    assert world.leader in followers


def test_a_candidate_does_not_depose_a_leader_that_is_heard() -> None:
    world = World(4)
    leader, (follower, other) = elect(world)
    term = world.cores[leader].raftCurrentTerm
    request = RequestVote(term + 10, 1_000, term + 9)
    for name in (leader, other):
        world.transports[name]._onMessageReceived(world.node(name, follower), request)
    world.run(0.5)
    assert world.leader == leader
    assert world.cores[leader].raftCurrentTerm == term


def test_a_member_that_was_cut_off_does_not_disturb_when_it_returns() -> None:
    world = World(5)
    leader, (follower, other) = elect(world)
    term = world.cores[leader].raftCurrentTerm
    world.cut = {tuple(sorted((follower, name))) for name in (leader, other)}  # type: ignore[misc]
    for name in (leader, other):
        world.disconnect(follower, name)
    world.run(10.0)
    world.cut.clear()
    world.run(3.0)
    assert world.leader == leader
    assert world.cores[follower].raftCurrentTerm == term


def test_a_lost_connection_to_the_leader_starts_an_election_at_once() -> None:
    world = World(6)
    leader, _ = elect(world)
    world.crash(leader)
    started_s = world.now_s
    world.until(lambda: world.leader is not None)
    assert world.now_s - started_s < 0.4


def test_a_leader_that_hands_over_is_followed_at_once() -> None:
    world = World(7)
    leader, followers = elect(world)
    write_all(world, leader, 5)
    world.run(0.3)
    assert world.cores[leader].transfer_leadership()
    world.run(0.2)
    assert world.leader in followers


def test_a_paused_leader_serves_no_linearizable_read_when_it_wakes() -> None:
    world = World(8)
    leader, followers = elect(world)
    world.paused = {leader}
    world.until(lambda: world.leader in followers)
    assert world.leader is not None
    write_all(world, world.leader, 3)
    world.paused.clear()
    done_before = world.reads_done
    world.read(leader)  # raises Violation if it is answered from the past
    world.turn(leader)
    assert world.reads_done == done_before
    world.run(1.0)


def test_a_read_that_cannot_reach_the_leader_fails_at_once() -> None:
    """The leader is still the leader when the connection is back, so nothing else would ever end the wait."""
    world = World(9)
    leader, (follower, _) = elect(world)
    world.disconnect(leader, follower)
    found: list[int] = []
    world.cores[follower].read_index(found.append)
    assert found == [0]
    world.run(1.0)
    world.cores[follower].read_index(found.append)
    world.run(1.0)
    assert len(found) == 2 and found[1] > 0


def test_a_follower_with_a_long_conflicting_tail_catches_up() -> None:
    """Stock PySyncObj goes back and forth for ever here (its hole S8)."""
    world = World(9)
    leader, followers = elect(world)
    world.cut = {tuple(sorted((leader, follower))) for follower in followers}  # type: ignore[misc]
    for _ in range(20):
        world.write(leader)
    old_leader = leader
    world.until(lambda: world.leader not in (None, old_leader))
    assert world.leader is not None
    write_all(world, world.leader, 15)
    world.heal_and_check()


def test_a_lagging_follower_is_brought_up_by_a_snapshot() -> None:
    world = World(10)
    leader, (follower, _) = elect(world)
    world.crash(follower)
    for _ in range(10):
        write_all(world, leader, 10)
    world.run(1.0)
    assert world.cores[leader].log_bounds[0] > 10
    world.heal_and_check()
    assert world.disks[follower].snapshot is not None


def test_a_single_member_commits_by_itself() -> None:
    world = World(11, size=1)
    outcomes: list[int] = []
    world.until(lambda: world.leader is not None)
    world.cores["m0"].propose(b"1", lambda result, outcome: outcomes.append(outcome))
    world.run(0.5)
    assert outcomes == [SUCCESS]


# --- the world itself must notice broken promises: cores that are wrong on purpose


def breaks(world_of_seed: Callable[[int], World], seeds: int) -> bool:
    for seed in range(seeds):
        world = world_of_seed(seed)
        try:
            random_history(world, 40.0)
            world.heal_and_check()
        except (Violation, FatalStoreError, AssertionError):
            return True
    return False


def test_the_simulation_catches_acknowledging_before_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raftstore_simulation, "_BEFORE_SYNC", (object,))
    assert breaks(lambda seed: World(seed, crash_rate=0.02), 60)


def test_the_simulation_catches_reads_without_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(core: Any, callback: Callable[[int], None]) -> None:
        callback(core.raftCommitIndex)

    monkeypatch.setattr(RaftCore, "_leader_read_index", at_once)
    assert breaks(World, 60)


def test_the_simulation_catches_a_forgotten_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raftstore_simulation.SimulatedJournal, "getVotedForNodeId", lambda journal: None)
    monkeypatch.setattr(raftstore_simulation.SimulatedJournal, "getCurrentTerm", lambda journal: 0)
    assert breaks(lambda seed: World(seed, crash_rate=0.01), 150)
