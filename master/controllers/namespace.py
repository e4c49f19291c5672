"""A namespace that was deleted is emptied, then let go.

Desired: nothing is left in a terminating namespace, pods going first (they may need their secrets to stop), then it is
finalized, upon which the API server removes it. Observed: Namespaces, and what the API lists in them (not the caches: a
kind without an informer counts too). Writes: deletes all content, the namespace's conditions, its finalizer.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from master.api.core.namespace import Namespace, NamespaceCondition
from master.api.core.pod import Pod
from master.api.meta import Object
from master.api.scheme import SCHEME, ResourceInfo
from master.api.status import ApiError
from master.controllers.base import Context, Controller, Watch
from master.controllers.podstate import is_finished

FINALIZER = "kubernetes"
MAX_CONCURRENT_DELETIONS = 16
RECHECK_S = 0.5
"""Finalizers and grace periods run elsewhere; what is left is counted again so often."""


class Remaining(msgspec.Struct, frozen=True):
    """What one round found: objects still there, per resource and per finalizer, and what could not be deleted."""

    counts: dict[str, int]
    finalizers: dict[str, int]
    failures: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.counts and not self.failures


class NamespaceController(Controller):
    name = "namespace-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._namespaces = context.informers.of(Namespace)

    def watches(self) -> Sequence[Watch]:
        return Watch(Namespace, lambda namespace: (namespace.metadata.name,)), Watch(Pod, self._keys_of_pod)

    def _keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The last pod's end is what an emptying namespace waits for."""
        namespace = self._namespaces.get(pod.metadata.namespace)
        going = namespace is not None and namespace.metadata.deletion_timestamp is not None
        return (pod.metadata.namespace,) if going else ()

    async def reconcile(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or namespace.metadata.deletion_timestamp is None:
            return None
        if FINALIZER not in namespace.spec.finalizers:
            return None
        remaining = await self._empty(key, [SCHEME.by_struct(Pod)])
        if remaining.is_empty:
            remaining = await self._empty(key, namespaced_resources())
        namespace = await self._report(key, namespace, remaining)
        if not remaining.is_empty:
            return RECHECK_S
        finalizers = [finalizer for finalizer in namespace.spec.finalizers if finalizer != FINALIZER]
        spec = msgspec.structs.replace(namespace.spec, finalizers=finalizers)
        await self.update(key, msgspec.structs.replace(namespace, spec=spec), subresource="finalize")
        return None

    async def _empty(self, name: str, resources: Sequence[ResourceInfo]) -> Remaining:
        """One pass: delete all that is not yet on its way, then say what the API still has."""
        limit = asyncio.Semaphore(MAX_CONCURRENT_DELETIONS)
        failures: list[str] = []

        async def delete(obj: Object) -> None:
            async with limit:
                try:
                    await self.delete(name, obj)
                except ApiError as error:
                    failures.append(str(error))

        left: list[tuple[ResourceInfo, Any]] = []
        for info in resources:
            found = (await self.client.list(info.struct, name)).items
            await asyncio.gather(*(delete(obj) for obj in found if must_be_deleted(obj)))
            if found:
                found = (await self.client.list(info.struct, name)).items
            left.extend((info, obj) for obj in found)
        return count(left, failures)

    async def _report(self, key: str, namespace: Namespace, remaining: Remaining) -> Namespace:
        conditions = plan_conditions(namespace.status.conditions, remaining, self.env.now())
        if conditions == namespace.status.conditions and namespace.status.phase == "Terminating":
            return namespace
        status = msgspec.structs.replace(namespace.status, conditions=conditions, phase="Terminating")
        return await self.update(key, msgspec.structs.replace(namespace, status=status), subresource="status")


def must_be_deleted(obj: Object) -> bool:
    """What is already on its way is not asked again, except a finished pod, whose node need not agree."""
    if obj.metadata.deletion_timestamp is None:
        return True
    return isinstance(obj, Pod) and is_finished(obj)


def namespaced_resources() -> list[ResourceInfo]:
    """All that can be listed and deleted in a namespace, pods first."""
    found = [info for info in SCHEME.all() if info.namespaced and {"list", "delete"} <= set(info.verbs)]
    return sorted(found, key=lambda info: info.struct is not Pod)


def count(left: Iterable[tuple[ResourceInfo, Object]], failures: Sequence[str]) -> Remaining:
    counts: dict[str, int] = {}
    finalizers: dict[str, int] = {}
    for info, obj in left:
        name = f"{info.plural}.{info.group}"
        counts[name] = counts.get(name, 0) + 1
        for finalizer in obj.metadata.finalizers:
            finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    return Remaining(counts, finalizers, tuple(sorted(set(failures))))


def plan_conditions(known: Sequence[NamespaceCondition], remaining: Remaining, now: str) -> list[NamespaceCondition]:
    """The five conditions in Kubernetes' words; one whose status and message are the same stays as it is."""
    left = ", ".join(f"{name} has {number} resource instances" for name, number in sorted(remaining.counts.items()))
    held = ", ".join(f"{name} in {number} resource instances" for name, number in sorted(remaining.finalizers.items()))
    failed = ", ".join(remaining.failures)
    all_gone = "All content successfully deleted, may be waiting on finalization"
    planned = [
        ("DiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        ("GroupVersionParsingFailure", False, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("ContentFailure", True, "ContentDeletionFailed", f"Failed to delete all resource types: {failed}")
        if failed
        else ("ContentFailure", False, "ContentDeleted", all_gone),
        ("ContentRemaining", True, "SomeResourcesRemain", f"Some resources are remaining: {left}")
        if left
        else ("ContentRemaining", False, "ContentRemoved", "All content successfully removed"),
        (
            "FinalizersRemaining",
            True,
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held}",
        )
        if held
        else ("FinalizersRemaining", False, "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ]
    by_type = {condition.type: condition for condition in known}
    for suffix, status, reason, message in planned:
        kind = f"Namespace{suffix}" if suffix.endswith("Remaining") else f"NamespaceDeletion{suffix}"
        text = "True" if status else "False"
        old = by_type.get(kind)
        if old is not None and (old.status, old.reason, old.message) == (text, reason, message):
            continue
        since = old.last_transition_time if old is not None and old.status == text else now
        by_type[kind] = NamespaceCondition(
            type=kind, status=text, reason=reason, message=message, last_transition_time=since
        )
    return list(by_type.values())
