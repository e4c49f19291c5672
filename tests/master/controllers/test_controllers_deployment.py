"""Revisions, names, conditions: what kubectl reads of a deployment."""

from controllers_objects import EPOCH_S, NOW, at, deployment, replica_set

from master.api.apps.deployment import Deployment, DeploymentStatus
from master.controllers.deployment import progress, revisions
from master.controllers.deployment.status import condition_of, counts, with_condition


def test_the_hash_ignores_its_own_label_and_follows_template_and_collisions() -> None:
    made = revisions.make_replica_set(deployment(2), 2, 1)
    own_hash = made.metadata.labels[revisions.HASH_LABEL]
    assert made.metadata.name == f"web-{own_hash}"
    assert made.spec.selector is not None and made.spec.selector.match_labels[revisions.HASH_LABEL] == own_hash
    assert revisions.template_hash(made.spec.template, 0) == own_hash
    assert revisions.template_hash(made.spec.template, 1) != own_hash
    assert revisions.template_hash(deployment(2, image="web:3").spec.template, 0) != own_hash
    assert revisions.newest(deployment(9), [replica_set("other", 1), made]) is made


def test_a_replica_set_that_comes_back_gets_the_next_revision_and_remembers_the_old() -> None:
    annotations = revisions.annotations_of_newest(deployment(1), {revisions.REVISION: "1"}, 3)
    assert annotations == {revisions.REVISION: "3", revisions.REVISION_HISTORY: "1"}


def test_a_revision_never_goes_back() -> None:
    annotations = revisions.annotations_of_newest(deployment(1), {revisions.REVISION: "7"}, 3)
    assert annotations == {revisions.REVISION: "7"}


def test_history_is_cut_from_its_oldest_end_and_only_where_no_pods_are() -> None:
    target = deployment(1)
    target.spec.revision_history_limit = 1
    sets = [replica_set(f"rs-{number}", 0) for number in range(4)]
    sets[1].status.replicas = 1
    for number, item in enumerate(sets):
        item.metadata.annotations = {revisions.REVISION: str(number + 1)}
    assert [item.metadata.name for item in revisions.plan_cleanup(target, sets[::-1])] == ["rs-0", "rs-2"]


def state(target: Deployment, **fields: int) -> DeploymentStatus:
    return DeploymentStatus(observed_generation=target.metadata.generation, **fields)  # type: ignore[arg-type]


def test_progress_is_told_then_completion_then_nothing_new() -> None:
    target, new = deployment(2), replica_set("new", 2)
    started = state(target, replicas=2, updated_replicas=2)
    started.conditions = progress.with_progress(target, new, started, NOW, EPOCH_S)
    assert condition_of(started.conditions, "Progressing").reason == "ReplicaSetUpdated"  # type: ignore[union-attr]
    target.status = started
    done = state(target, replicas=2, updated_replicas=2, ready_replicas=2, available_replicas=2)
    done.conditions = started.conditions
    done.conditions = progress.with_progress(target, new, done, at(9), EPOCH_S + 9)
    condition = condition_of(done.conditions, "Progressing")
    assert condition is not None and condition.reason == "NewReplicaSetAvailable"
    assert condition.message == 'ReplicaSet "new" has successfully progressed.'
    assert condition.last_transition_time == NOW and condition.last_update_time == at(9)


def test_a_rollout_without_progress_exceeds_its_deadline_unless_paused() -> None:
    target, new = deployment(2), replica_set("new", 2)
    target.spec.progress_deadline_seconds = 10
    conditions = with_condition([], "Progressing", "True", "NewReplicaSetCreated", "x", NOW)
    target.status = DeploymentStatus(replicas=2, updated_replicas=2, conditions=conditions)
    stuck = DeploymentStatus(replicas=2, updated_replicas=2, conditions=conditions)
    assert progress.recheck_in_s(target, stuck, EPOCH_S + 4) == 7
    assert progress.with_progress(target, new, stuck, at(9), EPOCH_S + 9) == conditions
    late = condition_of(progress.with_progress(target, new, stuck, at(11), EPOCH_S + 11), "Progressing")
    assert late is not None and (late.status, late.reason) == ("False", "ProgressDeadlineExceeded")
    target.spec.paused = True
    paused = progress.with_pause(target, conditions, at(11))
    assert condition_of(paused, "Progressing").reason == "DeploymentPaused"  # type: ignore[union-attr]
    assert not progress.is_timed_out(target, paused, EPOCH_S + 99)


def test_counts_are_the_sum_of_what_the_replica_sets_report() -> None:
    target = deployment(4, surge=1, unavailable=1)
    new, old = replica_set("new", 2, available=1), replica_set("old", 3, available=3)
    status = counts(target, new, [old, new], [], NOW)
    assert (status.replicas, status.updated_replicas, status.available_replicas) == (5, 2, 4)
    assert status.unavailable_replicas == 1
    assert condition_of(status.conditions, "Available").status == "True"  # type: ignore[union-attr]
    new.status.available_replicas = old.status.available_replicas = 1
    again = counts(target, new, [old, new], status.conditions, at(5))
    available = condition_of(again.conditions, "Available")
    assert available is not None and available.reason == "MinimumReplicasUnavailable"
