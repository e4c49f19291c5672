"""Taints, tolerations, pod networks, and pods without a node: pure plans."""

import ipaddress

import pytest
from controllers_objects import NOW, node, pod
from hypothesis import given, settings
from hypothesis import strategies as st

from master.api.core.node import NodeCondition, Taint
from master.api.core.scheduling import Toleration
from master.controllers.nodehealth import (
    NO_EXECUTE,
    NO_SCHEDULE,
    NOT_READY,
    OUT_OF_SERVICE,
    UNREACHABLE,
    Execute,
    eviction_rate,
    plan_conditions,
    plan_taints,
    ready_status,
)
from master.controllers.nodeipam import plan_cidr
from master.controllers.podgc import plan_pod
from master.controllers.tainteviction import tolerated_s

FOREIGN = Taint(key="dedicated", value="db", effect=NO_EXECUTE)


def effects(taints: list[Taint]) -> set[tuple[str, str]]:
    return {(taint.key, taint.effect) for taint in taints}


@settings(deadline=None)
@given(
    st.sampled_from(["True", "False", "Unknown"]),
    st.sampled_from(list(Execute)),
    st.sets(st.sampled_from([(NOT_READY, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE), (NOT_READY, NO_EXECUTE)])),
    st.booleans(),
)
def test_taints_follow_the_state_settle_at_once_and_leave_foreign_ones_alone(
    ready: str, execute: Execute, present: set[tuple[str, str]], cordoned: bool
) -> None:
    known = [FOREIGN, *(Taint(key=key, effect=effect) for key, effect in present)]
    target = node("n", ready, taints=known, cordoned=cordoned)
    planned = plan_taints(target, execute, NOW)
    assert FOREIGN in planned
    key = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(ready)
    assert (("node.kubernetes.io/unschedulable", NO_SCHEDULE) in effects(planned)) == cordoned
    assert {(k, e) for k, e in effects(planned) if k in (NOT_READY, UNREACHABLE)} <= {
        (key, NO_SCHEDULE),
        (key, NO_EXECUTE),
    }
    if execute is Execute.ALLOW and key:
        assert (key, NO_EXECUTE) in effects(planned)
    if execute is Execute.CANCEL:
        assert not {(NOT_READY, NO_EXECUTE), (UNREACHABLE, NO_EXECUTE)} & effects(planned)
    target.spec.taints = planned
    if execute is not Execute.HOLD:
        assert plan_taints(target, execute, NOW) is planned


def test_pressure_closes_a_node_without_sending_its_pods_away() -> None:
    target = node("n")
    target.status.conditions.append(NodeCondition(type="DiskPressure", status="True"))
    assert effects(plan_taints(target, Execute.ALLOW, NOW)) == {("node.kubernetes.io/disk-pressure", NO_SCHEDULE)}


def test_a_silent_node_is_unknown_in_all_that_it_reported_and_only_once() -> None:
    target = node("n")
    target.status.conditions = plan_conditions(target, NOW)
    assert ready_status(target) == "Unknown"
    assert {condition.status for condition in target.status.conditions} == {"Unknown"}
    assert plan_conditions(target, "2030-01-01T00:00:00Z") == target.status.conditions


@pytest.mark.parametrize(("lost", "total", "goes"), [(1, 3, True), (2, 3, True), (3, 3, False), (6, 10, False)])
def test_pods_leave_lost_nodes_but_not_when_most_seem_lost(lost: int, total: int, goes: bool) -> None:
    assert bool(eviction_rate(lost, total)) == goes


UNREACHABLE_NOW = Taint(key=UNREACHABLE, effect=NO_EXECUTE)


@pytest.mark.parametrize(
    ("taints", "tolerations", "expected_s"),
    [
        ([], [], None),
        ([UNREACHABLE_NOW], [], 0),
        ([UNREACHABLE_NOW], [Toleration(operator="Exists")], None),
        ([UNREACHABLE_NOW], [Toleration(key=UNREACHABLE, operator="Exists", toleration_seconds=5)], 5),
        ([UNREACHABLE_NOW], [Toleration(key=UNREACHABLE, operator="Exists", effect=NO_SCHEDULE)], 0),
        ([FOREIGN], [Toleration(key="dedicated", value="db")], None),
        ([FOREIGN], [Toleration(key="dedicated", value="web")], 0),
        (
            [FOREIGN, UNREACHABLE_NOW],
            [
                Toleration(key="dedicated", operator="Exists", toleration_seconds=9),
                Toleration(key=UNREACHABLE, operator="Exists", toleration_seconds=3),
            ],
            3,
        ),
    ],
)
def test_the_shortest_toleration_counts(
    taints: list[Taint], tolerations: list[Toleration], expected_s: float | None
) -> None:
    assert tolerated_s(taints, tolerations) == expected_s


@settings(deadline=None)
@given(st.integers(0, 20), st.sets(st.integers(0, 15)))
def test_pod_networks_never_overlap_and_are_given_until_none_is_left(count: int, foreign: set[int]) -> None:
    network = ipaddress.ip_network("10.91.0.0/20")
    taken = [f"10.91.{number}.0/24" for number in foreign]
    for _ in range(count):
        cidr = plan_cidr(network, 24, taken)
        if cidr is None:
            assert len(taken) == 16
            break
        piece = ipaddress.ip_network(cidr)
        assert piece.subnet_of(network)  # type: ignore[type-var,arg-type]
        assert not any(piece.overlaps(ipaddress.ip_network(other)) for other in taken)  # type: ignore[arg-type]
        taken.append(cidr)


def test_a_wide_foreign_network_blocks_all_it_covers() -> None:
    assert plan_cidr(ipaddress.ip_network("10.91.0.0/16"), 24, ["10.91.0.0/17"]) == "10.91.128.0/24"


def test_pods_without_a_future_go() -> None:
    assert plan_pod(pod("a"), node("n-1")) is None
    assert plan_pod(pod("a", deleted=True), node("n-1", "Unknown")) is None
    assert plan_pod(pod("a", node=""), None) is None
    assert plan_pod(pod("a", node="", deleted=True), None) is not None
    gone = plan_pod(pod("a"), None)
    assert gone is not None and gone.needs_quarantine
    out = node("n-1", "Unknown", taints=[Taint(key=OUT_OF_SERVICE, effect=NO_EXECUTE)])
    assert plan_pod(pod("a", deleted=True), out) is not None
    assert plan_pod(pod("a"), out) is None
