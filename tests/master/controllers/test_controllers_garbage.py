"""What the garbage collector reads from an object; the deleting itself is proven on a real control plane."""

import asyncio
from typing import Any

from controllers_objects import NOW, pod, replica_set

from master.api.apps.replicaset import ReplicaSet
from master.api.core.pod import Pod
from master.api.meta import OwnerReference
from master.client.rest import ObjectList
from master.controllers.base import Context
from master.controllers.env import Env
from master.controllers.garbagecollector import (
    GarbageCollector,
    is_blocking,
    is_orphaning,
    is_waiting,
    key_of,
    propagation_of,
)
from master.controllers.gate import Gate
from master.controllers.informers import Informers
from master.controllers.namespace import count, namespaced_resources, plan_conditions
from master.controllers.owners import controller_reference


def test_finalizers_only_speak_on_objects_that_are_being_deleted() -> None:
    owner = replica_set("rs", 1)
    owner.metadata.finalizers = ["foregroundDeletion", "orphan"]
    assert not is_waiting(owner) and not is_orphaning(owner)
    owner.metadata.deletion_timestamp = NOW
    assert is_waiting(owner) and is_orphaning(owner)
    assert propagation_of(owner, foreground=False) == "Orphan"


def test_only_dependents_that_say_so_block_their_owner() -> None:
    owner, dependent = replica_set("rs", 1), pod("a")
    dependent.metadata.owner_references = [controller_reference(owner)]
    assert is_blocking(dependent, owner)
    dependent.metadata.owner_references = [OwnerReference(uid=owner.metadata.uid)]
    assert not is_blocking(dependent, owner)
    assert propagation_of(dependent, foreground=True) == "Foreground"


def test_keys_name_resource_and_place() -> None:
    assert key_of(replica_set("rs", 1)) == "apps/v1/replicasets|default/rs"
    assert key_of(pod("a")) == "/v1/pods|default/a"


def test_a_namespace_says_what_it_waits_for_and_repeats_nothing() -> None:
    held = pod("a")
    held.metadata.finalizers = ["a.b/c"]
    pods = next(info for info in namespaced_resources() if info.kind == "Pod")
    conditions = plan_conditions([], count([(pods, held)], []), NOW)
    texts = {condition.type: (condition.status, condition.message) for condition in conditions}
    assert texts["NamespaceContentRemaining"] == (
        "True",
        "Some resources are remaining: pods. has 1 resource instances",
    )
    assert texts["NamespaceFinalizersRemaining"][0] == "True"
    assert texts["NamespaceDeletionContentFailure"][0] == "False"
    assert plan_conditions(conditions, count([(pods, held)], []), "2030-01-01T00:00:00Z") == conditions
    assert namespaced_resources()[0] is pods


def test_an_owner_of_a_kind_that_cannot_be_looked_up_condemns_nobody() -> None:
    """Nor may one that is not watched (an Event) be asked for by key: the round would fail for ever."""
    collector = GarbageCollector(Context(None, Informers(None), None, Env()))  # type: ignore[arg-type]
    for kind in ("Binding", "Event", "Scale"):
        dependent = pod("a")
        dependent.metadata.owner_references = [OwnerReference(api_version="v1", kind=kind, name="x", uid="u")]
        assert list(collector._keys_of(dependent)) == [key_of(dependent)]
    dependent.metadata.owner_references = [OwnerReference(api_version="v1", kind="Binding", name="x", uid="u")]
    owners = asyncio.run(collector._classify(dependent))
    assert len(owners.solid) == 1 and not owners.dangling


class FakeApi:
    """Has one dependent that no cache shows yet."""

    def __init__(self, dependent: Pod) -> None:
        self.dependent = dependent
        self.patched: list[str] = []

    async def list(self, kind: type, namespace: str = "") -> ObjectList[Any]:
        return ObjectList([self.dependent] if kind is Pod and namespace == "default" else [], "12")

    async def patch(self, kind: type, name: str, *_: Any, **__: Any) -> Any:
        self.patched.append(name)
        return self.dependent


def test_a_dependent_that_the_cache_does_not_show_yet_is_orphaned_too() -> None:
    """Overlooked, it would lose its owner with the reference still in it, and be collected."""
    owner, newborn = replica_set("rs", 1), pod("a")
    newborn.metadata.owner_references = [controller_reference(owner)]
    owner.metadata.finalizers, owner.metadata.deletion_timestamp = ["orphan"], NOW
    owner.metadata.resource_version = "9"

    async def body() -> None:
        api = FakeApi(newborn)
        collector = GarbageCollector(Context(api, Informers(api), None, Env()))  # type: ignore[arg-type]
        collector._gate = Gate([])
        collector.informers.of(ReplicaSet)._store.put(owner)
        collector.informers.of(Pod).resource_version = "8"
        await collector.reconcile(key_of(owner))
        assert api.patched == ["a", "rs"]

    asyncio.run(body())
