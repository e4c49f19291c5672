"""What happens between a decision and its write: others bind, delete and replace the pod meanwhile."""

import asyncio
from typing import Any

from scheduling_fixtures import node, pod

from master.api.core.pod import Pod
from master.api.core.scheduling import TopologySpreadConstraint
from master.api.meta import LabelSelector
from master.api.status import ApiError, Conflict
from master.client.rest import copy_object
from master.client.store import ADDED, DELETED, MODIFIED, Delta
from master.scheduler.explain import Explanation
from master.scheduler.plugins.registry import default_framework
from master.scheduler.scheduler import Scheduler

NOWHERE = Explanation(1, {"NodeResourcesFit": 1}, {"Insufficient cpu": 1})
SPREAD = TopologySpreadConstraint(
    max_skew=1,
    topology_key="zone",
    when_unsatisfiable="DoNotSchedule",
    label_selector=LabelSelector(match_labels={"app": "web"}),
)


class FakeApi:
    """One pod as the API has it; patches with preconditions, bindings that fail as told."""

    def __init__(self, live: Pod) -> None:
        self.live = live
        self.patches: list[dict[str, Any]] = []
        self.bind_fails: ApiError | None = None

    async def get(self, kind: type[Pod], name: str, namespace: str = "") -> Pod:
        return self.live

    async def patch(self, kind: type[Pod], name: str, namespace: str, patch: dict[str, Any], **_: Any) -> Pod:
        wanted = patch.get("metadata", {})
        if wanted.get("uid", self.live.metadata.uid) != self.live.metadata.uid:
            raise Conflict("another pod")
        if wanted.get("resourceVersion", self.live.metadata.resource_version) != self.live.metadata.resource_version:
            raise Conflict("changed meanwhile")
        self.patches.append(patch)
        return self.live

    async def bind(self, pod: Pod, node_name: str) -> None:
        if self.bind_fails is not None:
            raise self.bind_fails


def scheduler_at(api: FakeApi) -> Scheduler:
    return Scheduler(api, default_framework(), clock=lambda: 100.0)  # type: ignore[arg-type]


def told(scheduler: Scheduler, obj: Pod, old: Pod | None = None) -> None:
    """The informer's cache and its handler, as after an event."""
    scheduler._pods._store.put(obj)
    scheduler._pod_changed(Delta(ADDED if old is None else MODIFIED, obj, old))


def at_version(obj: Pod, version: str) -> Pod:
    changed = copy_object(obj)
    changed.metadata.resource_version = version
    return changed


def test_a_late_report_of_failure_spares_a_pod_that_was_bound_meanwhile() -> None:
    seen = at_version(pod("a"), "7")
    bound = at_version(seen, "8")
    bound.spec.node_name = "n"
    replaced = at_version(pod("a"), "9")
    for live in (bound, replaced):
        api = FakeApi(live)
        asyncio.run(scheduler_at(api)._report(seen, NOWHERE))
        assert api.patches == []


def test_a_report_is_written_though_the_pod_has_changed_otherwise() -> None:
    seen = at_version(pod("a"), "7")
    api = FakeApi(at_version(seen, "8"))
    asyncio.run(scheduler_at(api)._report(seen, NOWHERE))
    assert [patch["status"]["conditions"][0].reason for patch in api.patches] == ["Unschedulable"]


def test_a_pod_whose_binding_failed_because_it_is_going_is_not_tried_again() -> None:
    async def scenario() -> None:
        first = at_version(pod("a"), "7")
        first.metadata.finalizers = ["example.com/keeps-it"]
        api = FakeApi(first)
        scheduler = scheduler_at(api)
        scheduler._cluster.put_node(node("n"))
        told(scheduler, first)
        pending = scheduler._queue.pop(100.0)
        assert pending is not None
        work = scheduler._schedule(pending)
        going = at_version(first, "8")
        going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
        told(scheduler, going, first)
        api.bind_fails = Conflict("is being deleted")
        await work
        assert len(scheduler._queue) == 0

    asyncio.run(scenario())


def test_room_that_a_failed_binding_gives_back_is_offered_to_others_though_the_pod_is_going() -> None:
    async def scenario() -> None:
        first = at_version(pod("a", cpu="2"), "7")
        api = FakeApi(first)
        scheduler = scheduler_at(api)
        scheduler._cluster.put_node(node("n"))
        told(scheduler, first)
        pending = scheduler._queue.pop(100.0)
        assert pending is not None
        work = scheduler._schedule(pending)
        told(scheduler, pod("b", cpu="2"))
        second = scheduler._queue.pop(100.0)
        assert second is not None
        scheduler._schedule(second).close()
        going = at_version(first, "8")
        going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
        told(scheduler, going, first)
        api.bind_fails = Conflict("is being deleted")
        await work
        assert [(each.info.key, each.helped_by) for each in scheduler._queue] == [("default/b", None)]

    asyncio.run(scenario())


def test_a_pod_whose_binding_failed_is_tried_again_as_it_is_now() -> None:
    async def scenario() -> None:
        first = at_version(pod("a"), "7")
        api = FakeApi(first)
        scheduler = scheduler_at(api)
        scheduler._cluster.put_node(node("n"))
        told(scheduler, first)
        pending = scheduler._queue.pop(100.0)
        assert pending is not None
        work = scheduler._schedule(pending)
        changed = at_version(first, "8")
        changed.spec.node_selector = {"disk": "ssd"}
        told(scheduler, changed, first)
        api.bind_fails = ApiError("no answer")
        await work
        assert [each.info.pod.spec.node_selector for each in scheduler._queue] == [{"disk": "ssd"}]

    asyncio.run(scenario())


def waits_for_its_siblings() -> tuple[Scheduler, Pod]:
    """One sibling in zone x; zone y has no room, and x may not get a second one before y has its first."""
    late = pod("late", cpu="1", topology_spread_constraints=[SPREAD])
    late.metadata.labels = {"app": "web"}
    scheduler = scheduler_at(FakeApi(late))
    scheduler._cluster.put_node(node("a", zone="x"))
    scheduler._cluster.put_node(node("b", cpu="100m", zone="y"))
    sibling = at_version(pod("first", node_name="a"), "5")
    sibling.metadata.labels = {"app": "web"}
    told(scheduler, sibling)
    told(scheduler, late)
    pending = scheduler._queue.pop(100.0)
    assert pending is not None
    scheduler._schedule(pending).close()
    assert next(iter(scheduler._queue)).helped_by is not None
    return scheduler, sibling


def is_woken(scheduler: Scheduler) -> bool:
    return next(iter(scheduler._queue)).helped_by is None


def test_a_pod_that_must_spread_is_woken_when_a_sibling_gets_a_place() -> None:
    scheduler, _ = waits_for_its_siblings()
    other = pod("second", node_name="b")
    other.metadata.labels = {"app": "web"}
    told(scheduler, other)
    assert is_woken(scheduler)


def test_a_pod_that_must_spread_is_woken_when_a_sibling_begins_to_go_or_changes_its_labels() -> None:
    for field, value in (("deletion_timestamp", "2026-01-01T00:00:00Z"), ("labels", {"app": "else"})):
        scheduler, sibling = waits_for_its_siblings()
        changed = at_version(sibling, "6")
        setattr(changed.metadata, field, value)
        told(scheduler, changed, sibling)
        assert is_woken(scheduler)


def test_a_pod_that_must_spread_is_woken_when_a_whole_domain_goes() -> None:
    scheduler, _ = waits_for_its_siblings()
    scheduler._node_changed(Delta(DELETED, node("b", zone="y")))
    assert is_woken(scheduler)


def test_a_mere_status_change_of_a_placed_pod_wakes_nobody() -> None:
    scheduler, sibling = waits_for_its_siblings()
    changed = at_version(sibling, "6")
    changed.status.phase = "Running"
    told(scheduler, changed, sibling)
    assert not is_woken(scheduler)
