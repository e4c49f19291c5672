"""Each plugin on small tables: who passes, who does not, and why."""

import random

import pytest
from scheduling_fixtures import info, node, pod, table

from master.api.core.container import Container, ResourceRequirements
from master.api.core.node import Taint
from master.api.core.scheduling import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PreferredSchedulingTerm,
    Toleration,
    TopologySpreadConstraint,
)
from master.api.meta import LabelSelector
from master.scheduler.explain import Explanation
from master.scheduler.framework import Placement
from master.scheduler.plugins.registry import default_framework
from master.scheduler.podinfo import PodInfo, pod_requests
from master.scheduler.table import NodeTable

GPU_TAINT = Taint(key="gpu", value="yes", effect="NoSchedule")


def place(wanted: PodInfo, nodes: NodeTable, seed: int = 1) -> str:
    outcome = default_framework().decide(wanted, nodes, random.Random(seed))
    assert isinstance(outcome, Placement), outcome
    return outcome.node_name


def refusal(wanted: PodInfo, nodes: NodeTable) -> str:
    outcome = default_framework().decide(wanted, nodes, random.Random(1))
    assert isinstance(outcome, Explanation), outcome
    assert sum(outcome.refusals.values()) == outcome.nodes
    return outcome.message()


def required(*expressions: NodeSelectorRequirement, field: str = "") -> Affinity:
    fields = [NodeSelectorRequirement(key="metadata.name", operator="In", values=[field])] if field else []
    term = NodeSelectorTerm(match_expressions=list(expressions), match_fields=fields)
    selector = NodeSelector(node_selector_terms=[term])
    return Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=selector))


def test_a_tainted_node_takes_only_pods_that_tolerate_it() -> None:
    nodes = table(node("a", taints=(GPU_TAINT,)))
    assert refusal(info(), nodes) == "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}."
    assert place(info(tolerations=[Toleration(key="gpu", operator="Exists")]), nodes) == "a"
    assert place(info(tolerations=[Toleration(operator="Exists")]), nodes) == "a"
    assert place(info(tolerations=[Toleration(key="gpu", value="yes", effect="NoSchedule")]), nodes) == "a"
    refusal(info(tolerations=[Toleration(key="gpu", value="no")]), nodes)
    refusal(info(tolerations=[Toleration(key="gpu", operator="Exists", effect="NoExecute")]), nodes)


def test_a_preference_against_a_taint_only_ranks() -> None:
    soft = Taint(key="old", effect="PreferNoSchedule")
    assert place(info(), table(node("a", taints=(soft,)), node("b", cpu="1"))) == "b"
    assert place(info(), table(node("a", taints=(soft,)))) == "a"


def test_a_cordoned_node_takes_only_pods_that_tolerate_it() -> None:
    nodes = table(node("a", unschedulable=True))
    assert refusal(info(), nodes) == "0/1 nodes are available: 1 node(s) were unschedulable."
    tolerated = Toleration(key="node.kubernetes.io/unschedulable", operator="Exists")
    assert place(info(tolerations=[tolerated]), nodes) == "a"


def test_a_node_selector_and_a_required_affinity_must_both_hold() -> None:
    nodes = table(node("a", disk="ssd"), node("b", disk="ssd", zone="x"), node("c", zone="x"))
    in_x = NodeSelectorRequirement(key="zone", operator="In", values=["x", "y"])
    assert place(info(node_selector={"disk": "ssd"}, affinity=required(in_x)), nodes) == "b"
    message = refusal(info(node_selector={"disk": "tape"}), nodes)
    assert message == "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


@pytest.mark.parametrize(
    ("operator", "values", "chosen"),
    [
        ("In", ["1", "5"], {"five"}),
        ("NotIn", ["5"], {"nine", "none"}),
        ("Exists", [], {"five", "nine"}),
        ("DoesNotExist", [], {"none"}),
        ("Gt", ["5"], {"nine"}),
        ("Lt", ["9"], {"five"}),
        ("Gt", ["x"], set()),
        ("Unheard", ["5"], set()),
    ],
)
def test_operators_of_node_affinity(operator: str, values: list[str], chosen: set[str]) -> None:
    nodes = table(node("five", size="5"), node("nine", size="9"), node("none"))
    wanted = info(affinity=required(NodeSelectorRequirement(key="size", operator=operator, values=values)))
    if chosen:
        assert {place(wanted, nodes, seed) for seed in range(20)} == chosen
    else:
        refusal(wanted, nodes)


def test_an_affinity_by_node_name_and_an_empty_term() -> None:
    nodes = table(node("a"), node("b"))
    assert place(info(affinity=required(field="b")), nodes) == "b"
    refusal(info(affinity=required()), nodes)


def test_preferred_terms_rank_by_weight() -> None:
    nodes = table(node("a", disk="ssd"), node("b", zone="x"), node("c"))
    preferred = [
        PreferredSchedulingTerm(
            weight=weight,
            preference=NodeSelectorTerm(match_expressions=[NodeSelectorRequirement(key=key, operator="Exists")]),
        )
        for key, weight in (("disk", 10), ("zone", 90))
    ]
    affinity = Affinity(node_affinity=NodeAffinity(preferred_during_scheduling_ignored_during_execution=preferred))
    assert place(info(affinity=affinity), nodes) == "b"


def test_resources_are_counted_to_the_last_unit() -> None:
    nodes = table(node("a", cpu="1", memory="1Gi", pods=3))
    nodes.add_pod(info("x", cpu="600m", memory="512Mi"), "a")
    assert place(info(cpu="400m", memory="512Mi"), nodes) == "a"
    assert refusal(info(cpu="401m"), nodes) == "0/1 nodes are available: 1 Insufficient cpu."
    message = refusal(info(cpu="500m", memory="513Mi"), nodes)
    assert message == "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
    nodes.add_pod(info("y"), "a")
    nodes.add_pod(info("z"), "a")
    assert refusal(info(), nodes) == "0/1 nodes are available: 1 Too many pods."


def test_an_unknown_resource_is_nowhere_available() -> None:
    wanted = pod()
    wanted.spec.containers[0].resources.requests["example.com/gpu"] = 1
    nodes = table(node("a"))
    assert refusal(PodInfo(wanted), nodes) == "0/1 nodes are available: 1 Insufficient example.com/gpu."
    better = node("b")
    better.status.allocatable["example.com/gpu"] = "2"
    nodes.put_node(better)
    assert place(PodInfo(wanted), nodes) == "b"


def test_requests_count_init_containers_sidecars_and_overhead() -> None:
    def container(cpu: str, restart: str | None = None) -> Container:
        return Container(name="x", restart_policy=restart, resources=ResourceRequirements(requests={"cpu": cpu}))

    wanted = pod()
    wanted.spec.containers = [container("100m"), container("200m")]
    assert pod_requests(wanted)["cpu"] == 300
    wanted.spec.init_containers = [container("1")]
    assert pod_requests(wanted)["cpu"] == 1000
    wanted.spec.init_containers = [container("50m", "Always"), container("1")]
    assert pod_requests(wanted)["cpu"] == 1050
    wanted.spec.init_containers = [container("1"), container("900m", "Always")]
    assert pod_requests(wanted)["cpu"] == 1200
    wanted.spec.overhead = {"cpu": "10m"}
    assert pod_requests(wanted)["cpu"] == 1210
    assert pod_requests(wanted)["pods"] == 1


def test_host_ports_are_given_out_once_a_node() -> None:
    nodes = table(node("a"), node("b"))
    nodes.add_pod(info("x", host_port=80), "a")
    assert place(info(host_port=80), nodes) == "b"
    nodes.add_pod(info("y", host_port=80), "b")
    message = refusal(info(host_port=80), nodes)
    assert message == "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."
    assert place(info(host_port=81), nodes) in ("a", "b")


@pytest.mark.parametrize("seed", range(10))
def test_three_replicas_land_on_three_nodes(seed: int) -> None:
    nodes = table(node("a"), node("b", cpu="8", memory="16Gi"), node("c"))
    nodes.add_pod(info("other", cpu="1"), "a")
    chosen = []
    for number in range(3):
        replica = info(f"web-{number}", cpu="100m", owner="rs")
        chosen.append(place(replica, nodes, seed))
        nodes.add_pod(replica, chosen[-1])
    assert sorted(chosen) == ["a", "b", "c"]


def test_without_siblings_the_emptier_node_is_preferred() -> None:
    nodes = table(node("a"), node("b"))
    nodes.add_pod(info("x", cpu="1", memory="2Gi"), "a")
    assert place(info(cpu="100m"), nodes) == "b"


def test_a_hard_spread_constraint_keeps_the_skew() -> None:
    def replica() -> PodInfo:
        constraint = TopologySpreadConstraint(
            max_skew=1,
            topology_key="zone",
            when_unsatisfiable="DoNotSchedule",
            label_selector=LabelSelector(match_labels={"app": "web"}),
        )
        wanted = pod(topology_spread_constraints=[constraint])
        wanted.metadata.labels = {"app": "web"}
        return PodInfo(wanted)

    nodes = table(node("a", zone="x"), node("b", zone="y", pods=1), node("c"))
    chosen = []
    for _ in range(3):
        wanted = replica()
        chosen.append(place(wanted, nodes))
        nodes.add_pod(wanted, chosen[-1])
    assert sorted(chosen) == ["a", "a", "b"]
    message = refusal(replica(), nodes)
    assert "1 node(s) didn't match pod topology spread constraints (missing required label)" in message
    assert "1 Too many pods" in message


def test_without_nodes_the_message_says_so() -> None:
    assert refusal(info(), table()) == "no nodes available to schedule pods"


def test_reasons_of_different_nodes_are_listed_together() -> None:
    nodes = table(node("a", taints=(GPU_TAINT,)), node("b", cpu="100m"), node("c", cpu="100m"))
    message = refusal(info(cpu="1"), nodes)
    assert message == "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 2 Insufficient cpu."
