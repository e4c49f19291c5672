"""The arithmetic of rollouts: bounds as in Kubernetes, and safety and liveness over random histories."""

import msgspec
import pytest
from controllers_objects import deployment, replica_set
from hypothesis import given, settings
from hypothesis import strategies as st

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet
from master.controllers.deployment.revisions import DESIRED_REPLICAS, MAX_REPLICAS, size_annotations
from master.controllers.deployment.rolling import plan_rolling, size_of_newest
from master.controllers.deployment.scaling import is_scaling, plan_scaling
from master.controllers.deployment.sizes import bounds, max_surge, min_available, wanted


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", (1, 1)),
        (10, "25%", "25%", (3, 2)),
        (3, None, None, (1, 0)),
        (3, 0, 0, (0, 1)),
        (3, "0%", "10%", (0, 1)),
        (2, 5, 7, (5, 2)),
        (1, 1, "100%", (1, 1)),
    ],
)
def test_surge_rounds_up_and_unavailable_down_and_both_zero_means_one(
    replicas: int, surge: int | str | None, unavailable: int | str | None, expected: tuple[int, int]
) -> None:
    assert bounds(deployment(replicas, surge=surge, unavailable=unavailable)) == expected


class World:
    """ReplicaSets whose pods come, become available, and go with delay; what the deployment sees may be older."""

    def __init__(self, target: Deployment, old_sizes: list[int]) -> None:
        self.target = target
        self.old = [replica_set(f"old-{i}", size, available=size, age_s=9 - i) for i, size in enumerate(old_sizes)]
        self.new: ReplicaSet | None = None
        self.pods = {item.metadata.name: size for item, size in zip(self.old, old_sizes, strict=True)}
        self.available = dict(self.pods)

    @property
    def sets(self) -> list[ReplicaSet]:
        return [*self.old, self.new] if self.new else list(self.old)

    def deploy(self) -> bool:
        """One round of the deployment controller; whether it did something."""
        if self.new is None:
            self.new = replica_set("new", size_of_newest(self.target, self.old, 0), pods=0)
            self.pods["new"] = self.available["new"] = 0
            return True
        resizes = plan_rolling(self.target, self.new, self.old)
        for resize in resizes:
            resize.replica_set.spec.replicas = resize.replicas
        return bool(resizes)

    def act(self, item: ReplicaSet) -> None:
        """The ReplicaSet's controller makes its pods as many as wanted; unavailable ones go first."""
        name = item.metadata.name
        self.pods[name] = wanted(item)
        self.available[name] = min(self.available[name], self.pods[name])

    def ripen(self, item: ReplicaSet) -> None:
        self.available[item.metadata.name] = min(self.pods[item.metadata.name], self.available[item.metadata.name] + 1)

    def report(self, item: ReplicaSet) -> None:
        item.status.replicas = self.pods[item.metadata.name]
        item.status.available_replicas = self.available[item.metadata.name]

    def check(self) -> None:
        assert sum(self.pods.values()) <= wanted(self.target) + max_surge(self.target)
        assert sum(self.available.values()) >= min_available(self.target)


bound = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda share: f"{share}%"))
acts = st.lists(st.tuples(st.sampled_from(["deploy", "act", "ripen", "report"]), st.integers(0, 4)), max_size=80)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), bound, bound, acts)
def test_rollout_never_drops_below_min_available_nor_rises_above_surge_and_ends(
    old_sizes: list[int], surge: int | str, unavailable: int | str, history: list[tuple[str, int]]
) -> None:
    world = World(deployment(sum(old_sizes), surge=surge, unavailable=unavailable), old_sizes)
    for act, number in history:
        if act == "deploy":
            world.deploy()
        else:
            getattr(world, act)(world.sets[number % len(world.sets)])
        world.check()
    for _ in range(200):
        before = msgspec.json.encode([world.pods, world.available, world.sets])
        moved = world.deploy()
        for item in world.sets:
            world.act(item)
            world.ripen(item)
            world.report(item)
            world.check()
        if not moved and msgspec.json.encode([world.pods, world.available, world.sets]) == before:
            break
    assert world.available == world.pods == {**dict.fromkeys(world.pods, 0), "new": wanted(world.target)}


@settings(deadline=None)
@given(bound, bound, st.integers(1, 5))
def test_a_broken_template_takes_no_more_than_what_may_be_unavailable(
    surge: int | str, unavailable: int | str, replicas: int
) -> None:
    world = World(deployment(replicas, surge=surge, unavailable=unavailable), [replicas])
    for _ in range(30):
        world.deploy()
        for item in world.sets:
            world.act(item)
            world.report(item)
            world.check()


def annotated(item: ReplicaSet, desired: int, limit: int) -> ReplicaSet:
    item.metadata.annotations = {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(limit)}
    return item


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 12), st.integers(0, 30), st.integers(0, 4))
def test_scaling_in_the_middle_of_a_rollout_gives_every_pod_to_somebody(
    old_size: int, new_size: int, middle: int, total: int, surge: int
) -> None:
    target = deployment(total, surge=surge, unavailable=1)
    before = old_size + new_size + middle
    old = [annotated(replica_set("old-a", old_size, age_s=9), before - surge, before)]
    if middle:
        old.append(annotated(replica_set("old-b", middle, age_s=5), before - surge, before))
    new = annotated(replica_set("new", new_size, available=0), before - surge, before)
    resizes = plan_scaling(target, new, old)
    assert all(resize.replicas >= 0 for resize in resizes)
    assert sum(resize.replicas for resize in resizes) == (total + surge if total else 0)
    for resize in resizes:
        resize.replica_set.spec.replicas = resize.replicas
        resize.replica_set.metadata.annotations = size_annotations(target)
    assert not is_scaling(target, [*old, new])


def test_scaling_keeps_the_proportions() -> None:
    target = deployment(20, surge=0, unavailable=1)
    old, new = annotated(replica_set("old", 8, age_s=9), 10, 10), annotated(replica_set("new", 2), 10, 10)
    sizes = {resize.replica_set.metadata.name: resize.replicas for resize in plan_scaling(target, new, [old])}
    assert sizes == {"old": 16, "new": 4}


def test_a_lone_replica_set_takes_the_whole_change() -> None:
    (resize,) = plan_scaling(deployment(7), annotated(replica_set("new", 3), 3, 4), [replica_set("old", 0)])
    assert (resize.replica_set.metadata.name, resize.replicas) == ("new", 7)


def test_plans_change_nothing_that_they_are_given() -> None:
    target, new, old = deployment(3), replica_set("new", 1, available=1), replica_set("old", 3, available=3)
    before = [msgspec.json.encode(item) for item in (target, new, old)]
    plan_rolling(target, new, [old])
    plan_scaling(target, new, [old])
    assert [msgspec.json.encode(item) for item in (target, new, old)] == before
