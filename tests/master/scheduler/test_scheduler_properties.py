"""What holds for any cluster and any order of events: nothing is over-committed, nothing is lost, counts add up."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_fixtures import info, node

from master.api.core.node import Node, Taint
from master.scheduler.explain import Explanation
from master.scheduler.framework import Change, Placement
from master.scheduler.plugins.registry import default_framework
from master.scheduler.podinfo import PodInfo
from master.scheduler.queue import BACKOFF_MAX_S, GIVE_UP_WAITING_S, SchedulingQueue
from master.scheduler.table import NodeTable

NODES = st.builds(
    lambda name, cpu, memory, pods, tainted, ssd: node(
        name,
        cpu=f"{cpu}00m",
        memory=f"{memory}Mi",
        pods=pods,
        taints=(Taint(key="k", effect="NoSchedule"),) if tainted else (),
        **({"disk": "ssd"} if ssd else {}),
    ),
    st.sampled_from([f"n{number}" for number in range(6)]),
    st.integers(0, 20),
    st.integers(0, 500),
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
)
PODS = st.builds(
    lambda cpu, memory, port, ssd, owner: info(
        cpu=f"{cpu}0m", memory=f"{memory}Mi", host_port=port, owner=owner, node_selector={"disk": "ssd"} if ssd else {}
    ),
    st.integers(0, 120),
    st.integers(0, 300),
    st.sampled_from([0, 0, 80, 81]),
    st.booleans(),
    st.sampled_from(["", "rs1", "rs2"]),
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("node"), NODES),
        st.tuples(st.just("lost"), st.integers(0, 5)),
        st.tuples(st.just("pod"), PODS),
        st.tuples(st.just("gone"), st.integers(0, 30)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(0, 100))
def test_no_placement_ever_over_commits_a_node(events: list[tuple[str, object]], seed: int) -> None:
    framework, nodes, rng = default_framework(), NodeTable(), random.Random(seed)
    placed: list[PodInfo] = []
    for kind, what in events:
        if kind == "node" and isinstance(what, Node) and nodes.row(what.metadata.name) is None:
            nodes.put_node(what)
        elif kind == "lost":
            nodes.remove_node(f"n{what}")
        elif kind == "gone" and isinstance(what, int) and what < len(placed):
            nodes.remove_pod(placed.pop(what).uid)
        elif isinstance(what, PodInfo):
            outcome = framework.decide(what, nodes, rng)
            if isinstance(outcome, Explanation):
                assert sum(outcome.refusals.values()) == outcome.nodes == len(nodes)
                assert not outcome.nodes or sum(outcome.reasons.values()) >= outcome.nodes
                continue
            row = nodes.row(outcome.node_name)
            assert row is not None
            nodes.add_pod(what, outcome.node_name)
            placed.append(what)
            assert_within_bounds(nodes, row)
    assert_columns_are_the_sums(nodes)


def assert_within_bounds(nodes: NodeTable, row: int) -> None:
    for resource in ("cpu", "memory", "pods"):
        wanted = sum(each.requests.get(resource, 0) for each in nodes.pods_on(row))
        latest = list(nodes.pods_on(row))[-1]
        assert wanted <= nodes.allocatable(resource)[row] or not latest.requests.get(resource)
    ports = [(port.protocol, port.port) for port in nodes.used_ports(row)]
    assert len(ports) == len(set(ports))


def assert_columns_are_the_sums(nodes: NodeTable) -> None:
    for resource in ("cpu", "memory", "pods"):
        sums = [sum(each.requests.get(resource, 0) for each in nodes.pods_on(row)) for row in range(len(nodes))]
        assert nodes.requested(resource).tolist() == sums
    for owner in ("rs1", "rs2"):
        counts = [sum(each.owner == owner for each in nodes.pods_on(row)) for row in range(len(nodes))]
        assert np.array_equal(nodes.owner_counts(owner), np.array(counts, dtype=np.int64))


def test_pods_known_before_their_node_are_counted_when_it_comes() -> None:
    nodes = NodeTable()
    nodes.add_pod(info("early", cpu="1500m"), "a")
    nodes.put_node(node("a"))
    outcome = default_framework().decide(info(cpu="600m"), nodes, random.Random(1))
    assert isinstance(outcome, Explanation)
    nodes.remove_node("a")
    nodes.put_node(node("a", cpu="4"))
    assert isinstance(default_framework().decide(info(cpu="600m"), nodes, random.Random(1)), Placement)


def test_a_remembered_mask_is_asked_anew_when_labels_change_but_not_on_a_heartbeat() -> None:
    nodes = NodeTable()
    nodes.put_node(node("a"))
    wanted = info(node_selector={"disk": "ssd"})
    framework = default_framework()
    assert isinstance(framework.decide(wanted, nodes, random.Random(1)), Explanation)
    nodes.put_node(node("a", disk="ssd"))
    assert isinstance(framework.decide(wanted, nodes, random.Random(1)), Placement)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "pop", "stuck", "retry", "wake", "wait", "remove"]), st.integers(0, 4)),
    max_size=60,
)


@given(STEPS)
def test_no_pod_is_lost_by_the_queue_whatever_happens(steps: list[tuple[str, int]]) -> None:
    queue, now = SchedulingQueue(), 0.0
    pods = [info(f"p{number}") for number in range(5)]
    inside: set[str] = set()
    in_hand: dict[str, object] = {}
    for action, number in steps:
        key = pods[number].key
        if action == "add" and key not in in_hand:
            queue.add(pods[number], now)
            inside.add(key)
        elif action == "remove":
            queue.remove(key)
            inside.discard(key)
        elif action == "wait":
            now += number
        elif action == "wake":
            queue.wake(Change.POD_GONE, now)
        elif action in ("pop", "stuck", "retry"):
            pending = queue.pop(now)
            if pending is None:
                continue
            assert pending.info.key in inside
            if action == "pop":
                inside.discard(pending.info.key)
            elif action == "stuck":
                queue.unschedulable(pending, frozenset({Change.POD_GONE}), now)
            else:
                queue.failed(pending, now)
    assert {each.info.key for each in queue} == inside
    found = set()
    while (pending := queue.pop(now + GIVE_UP_WAITING_S + BACKOFF_MAX_S)) is not None:
        found.add(pending.info.key)
    assert found == inside


def test_only_a_change_that_may_help_wakes_an_unschedulable_pod() -> None:
    queue = SchedulingQueue()
    queue.add(info("p"), 0.0)
    pending = queue.pop(0.0)
    assert pending is not None
    queue.unschedulable(pending, frozenset({Change.NODE_TAINTS}), 0.0)
    assert queue.wake(Change.POD_GONE, 100.0) == 0
    assert queue.pop(100.0) is None
    assert queue.wake(Change.NODE_TAINTS, 100.0) == 1
    assert queue.pop(100.0) is pending


def test_a_pod_that_has_just_failed_waits_out_its_pause_even_when_woken() -> None:
    queue = SchedulingQueue()
    queue.add(info("p"), 0.0)
    pending = queue.pop(0.0)
    assert pending is not None
    queue.unschedulable(pending, frozenset({Change.POD_GONE}), 10.0)
    queue.wake(Change.POD_GONE, 10.0)
    assert queue.pop(10.0) is None
    due_s = queue.next_due_s()
    assert due_s == pending.backoff_until_s > 10.0
    assert queue.pop(due_s) is pending


def test_higher_priority_goes_first_then_the_longer_wait() -> None:
    queue = SchedulingQueue()
    queue.add(info("early", priority=0), 1.0)
    queue.add(info("late", priority=0), 2.0)
    queue.add(info("vip", priority=10), 3.0)
    order = []
    while (pending := queue.pop(5.0)) is not None:
        order.append(pending.info.pod.metadata.name)
    assert order == ["vip", "early", "late"]
