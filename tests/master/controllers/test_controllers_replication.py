"""ReplicaSets and ReplicationControllers: the plan converges, and the least useful pods go first."""

from controllers_objects import EPOCH_S, LABELS, NOW, pod, replica_set
from hypothesis import given, settings
from hypothesis import strategies as st

from master.api.core.pod import Pod
from master.api.meta import OwnerReference
from master.api.selectors import selector_from
from master.api.status import Forbidden
from master.controllers.owners import controller_reference, plan_claims
from master.controllers.podstate import is_active, order_of_deletion
from master.controllers.replication import (
    BURST_REPLICAS,
    REPLICA_SETS,
    next_availability_s,
    plan_replicas,
    pod_from_template,
    status_of,
)

pods = st.lists(
    st.builds(
        lambda phase, ready, deleted, node, age: (phase, ready, deleted, node, age),
        st.sampled_from(["Pending", "Running", "Failed", "Succeeded"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "n-1", "n-2"]),
        st.integers(0, 100),
    ),
    max_size=12,
).map(
    lambda facts: [
        pod(f"p-{i}", phase=phase, ready=ready, deleted=deleted, node=node, age_s=age)
        for i, (phase, ready, deleted, node, age) in enumerate(facts)
    ]
)


@settings(deadline=None)
@given(st.integers(0, 12), pods)
def test_one_plan_applied_gives_exactly_the_wanted_number_of_active_pods(wanted: int, present: list[Pod]) -> None:
    plan = plan_replicas(wanted, present, present)
    assert all(is_active(gone) for gone in plan.delete)
    left = [item for item in present if is_active(item) and item not in plan.delete]
    after = left + [pod(f"new-{i}", phase="Pending") for i in range(plan.create)]
    assert len(after) == wanted
    assert plan_replicas(wanted, after, after) == plan_replicas(0, [], [])


def test_a_burst_is_bounded() -> None:
    assert plan_replicas(10_000, [], []).create == BURST_REPLICAS


def test_the_least_useful_pod_goes_first() -> None:
    in_order = [
        pod("unassigned", node="", phase="Pending", ready=False),
        pod("pending", phase="Pending", ready=False),
        pod("not-ready", ready=False),
        pod("cheap"),
        pod("crowded-new", node="n-2", ready_since_s=5, age_s=5),
        pod("crowded-old", node="n-2", ready_since_s=50, age_s=50),
        pod("alone", node="n-3", ready_since_s=5, age_s=5),
    ]
    in_order[3].metadata.annotations = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    assert [item.metadata.name for item in order_of_deletion(in_order[::-1], in_order)] == [
        item.metadata.name for item in in_order
    ]


def test_of_two_equals_the_newer_goes_first() -> None:
    old, new = pod("old", ready_since_s=90, age_s=100), pod("new", ready_since_s=90, age_s=95)
    assert order_of_deletion([old, new], []) == [new, old]


def test_claims_adopt_what_matches_release_what_does_not_and_never_touch_what_is_anothers() -> None:
    owner = replica_set("rs", 1)
    mine, stray, orphan, others, dying = (pod(name) for name in ("mine", "stray", "orphan", "others", "dying"))
    mine.metadata.owner_references = stray.metadata.owner_references = [controller_reference(owner)]
    stray.metadata.labels = {"app": "else"}
    others.metadata.owner_references = [OwnerReference(uid="other", controller=True)]
    dying.metadata.deletion_timestamp = NOW
    claims = plan_claims(owner, selector_from(LABELS), [mine, stray, orphan, others, dying])
    assert (claims.owned, claims.adopt, claims.release) == ((mine,), (orphan,), (stray,))
    owner.metadata.deletion_timestamp = NOW
    claims = plan_claims(owner, selector_from(LABELS), [mine, stray, orphan])
    assert (claims.owned, claims.adopt, claims.release) == ((mine, stray), (), ())


def test_status_counts_active_pods_only_and_keeps_failures_until_they_pass() -> None:
    owner = replica_set("rs", 3)
    owner.spec.min_ready_seconds = 10
    present = [
        pod("steady", ready_since_s=60),
        pod("fresh", ready_since_s=4),
        pod("going", deleted=True),
        pod("failed", phase="Failed"),
    ]
    failure = ("FailedCreate", Forbidden("no"))
    status = status_of(REPLICA_SETS, owner, present, failure, now_s=EPOCH_S, now=NOW)
    counted = (status.replicas, status.ready_replicas, status.available_replicas, status.terminating_replicas)
    assert counted == (2, 2, 1, 1)
    assert [condition.reason for condition in status.conditions] == ["FailedCreate"]
    assert next_availability_s(present, 10, EPOCH_S) == 6
    owner.status = status
    assert status_of(REPLICA_SETS, owner, present, None, now_s=EPOCH_S, now=NOW).conditions == []


def test_a_pod_of_a_template_is_a_copy_with_an_owner_and_a_name_that_fits() -> None:
    owner = replica_set("x" * 63, 1)
    made = pod_from_template(owner, owner.spec.template, "abcde")
    assert made.metadata.name == "x" * 58 + "abcde"
    assert made.metadata.owner_references == [controller_reference(owner)]
    made.spec.containers[0].image = "changed"
    assert owner.spec.template.spec.containers[0].image == "web:1"
