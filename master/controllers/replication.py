"""ReplicaSet and ReplicationController: one implementation, two kinds (`Family` holds what differs).

Desired: `spec.replicas` active pods made from `spec.template`. Observed: the active pods that the selector matches and
that this object controls; pods on their way out do not count, so a lost node's pods are replaced at once.
Writes: pods (create, delete), their owner references (adopt, release), and its own status.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from master.api.apps.replicaset import ReplicaSet, ReplicaSetCondition
from master.api.core.pod import Pod, PodTemplateSpec
from master.api.core.replicationcontroller import ReplicationController, ReplicationControllerCondition
from master.api.meta import LabelSelector, ObjectMeta
from master.api.selectors import Selector, selector_from
from master.api.status import ApiError
from master.client.rest import copy_object, object_key
from master.controllers.base import Context, Controller, Watch
from master.controllers.claiming import claim
from master.controllers.informers import CONTROLLER_INDEX, orphans_of
from master.controllers.owners import controller_key, controller_of, controller_reference
from master.controllers.podstate import (
    available_in_s,
    is_active,
    is_available,
    is_ready,
    is_terminating,
    order_of_deletion,
)

BURST_REPLICAS = 500
"""Pods created or deleted in one round (Kubernetes' BurstReplicas)."""
SLOW_START_BATCH = 1
MAX_PREFIX = 58
"""A generated name is cut so that its random tail still fits (apimachinery's `maxGeneratedNameLength`)."""


class Family(msgspec.Struct, frozen=True):
    """What differs between the two kinds."""

    kind: type[Any]
    condition: type[Any]
    selector: Callable[[Any], Selector]
    counts_terminating: bool


REPLICA_SETS = Family(ReplicaSet, ReplicaSetCondition, lambda owner: selector_from(owner.spec.selector), True)
REPLICATION_CONTROLLERS = Family(
    ReplicationController,
    ReplicationControllerCondition,
    lambda owner: selector_from(LabelSelector(match_labels=owner.spec.selector)),
    False,
)


class ReplicaPlan(msgspec.Struct, frozen=True):
    """How many pods to create, or which to delete; never both."""

    create: int = 0
    delete: tuple[Pod, ...] = ()


class Replication(Controller):
    """One of the two kinds, kept at its count."""

    workers = 8

    def __init__(self, context: Context, family: Family) -> None:
        self.name = f"{family.kind.__name__.lower()}-controller"  # type: ignore[misc]
        super().__init__(context)
        self._family = family
        self._owners = context.informers.by_controller(family.kind)
        self._pods = context.informers.by_controller(Pod)

    def watches(self) -> Sequence[Watch]:
        return Watch(self._family.kind, lambda owner: (object_key(owner),)), Watch(Pod, self._keys_of_pod)

    def _keys_of_pod(self, pod: Pod) -> Iterable[str]:
        if controller_of(pod) is not None:
            key = controller_key(pod, self._family.kind)
            return (key,) if key else ()
        owners = self._owners.list(pod.metadata.namespace)
        return [object_key(owner) for owner in owners if self._family.selector(owner).matches(pod.metadata.labels)]

    async def reconcile(self, key: str) -> float | None:
        owner = self._owners.get(key)
        if owner is None:
            return None
        children = [
            *self._pods.by_index(CONTROLLER_INDEX, owner.metadata.uid),
            *self._pods.by_index(CONTROLLER_INDEX, orphans_of(owner.metadata.namespace)),
        ]
        pods = await claim(self, key, owner, self._family.selector(owner), children)
        failure: tuple[str, ApiError] | None = None
        if owner.metadata.deletion_timestamp is None:
            failure = await self._apply(
                key, owner, plan_replicas(owner.spec.replicas, pods, self._related(owner, pods))
            )
        now_s = self.env.wall_clock()
        status = status_of(self._family, owner, pods, failure, now_s=now_s, now=self.env.now())
        if msgspec.json.encode(status) != msgspec.json.encode(owner.status):
            await self.update(key, msgspec.structs.replace(owner, status=status), subresource="status")
        if failure is not None:
            raise failure[1]
        return next_availability_s(pods, owner.spec.min_ready_seconds, now_s)

    def _related(self, owner: Any, own: Sequence[Pod]) -> Iterable[Pod]:
        """The pods of all ReplicaSets of one Deployment: they serve one purpose and should spread as one."""
        parent = controller_of(owner)
        if parent is None:
            return own
        siblings = self._owners.by_index(CONTROLLER_INDEX, parent.uid)
        return (pod for sibling in siblings for pod in self._pods.by_index(CONTROLLER_INDEX, sibling.metadata.uid))

    async def _apply(self, key: str, owner: Any, plan: ReplicaPlan) -> tuple[str, ApiError] | None:
        """The reason and error of the first failure, if any."""
        try:
            if plan.create:
                await self._create_pods(key, owner, plan.create)
            if plan.delete:
                await self._delete_pods(key, owner, plan.delete)
        except ApiError as error:
            if not is_namespace_terminating(error):  # then this object's own end is near, and no failure
                return ("FailedCreate" if plan.create else "FailedDelete"), error
        return None

    async def _create_pods(self, key: str, owner: Any, count: int) -> None:
        """In batches of 1, 2, 4…: what would be refused a thousand times is refused once."""
        batch = SLOW_START_BATCH
        while count > 0:
            size = min(batch, count)
            answers = await asyncio.gather(*(self._create_pod(key, owner) for _ in range(size)), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            count -= size
            batch *= 2

    async def _create_pod(self, key: str, owner: Any) -> None:
        pod = pod_from_template(owner, owner.spec.template, self.env.suffix())
        try:
            created = await self.create(key, pod)
        except ApiError as error:
            if not is_namespace_terminating(error):
                self.events.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self.events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {created.metadata.name}")

    async def _delete_pods(self, key: str, owner: Any, pods: Sequence[Pod]) -> None:
        answers = await asyncio.gather(*(self._delete_pod(key, owner, pod) for pod in pods), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _delete_pod(self, key: str, owner: Any, pod: Pod) -> None:
        try:
            await self.delete(key, pod)
        except ApiError as error:
            self.events.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self.events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")


def is_namespace_terminating(error: ApiError) -> bool:
    return any(cause.reason == "NamespaceTerminating" for cause in error.causes)


def plan_replicas(wanted: int | None, pods: Sequence[Pod], related: Iterable[Pod]) -> ReplicaPlan:
    """From the pods that are owned to the number that is wanted; None is 1, the API's default."""
    active = [pod for pod in pods if is_active(pod)]
    missing = (1 if wanted is None else wanted) - len(active)
    if missing >= 0:
        return ReplicaPlan(create=min(missing, BURST_REPLICAS))
    surplus = min(-missing, BURST_REPLICAS)
    return ReplicaPlan(delete=tuple(order_of_deletion(active, filter(is_active, related))[:surplus]))


def pod_from_template(owner: Any, template: PodTemplateSpec, suffix: str) -> Pod:
    """A pod as the template says, owned by `owner`; we choose its name, so that its creation is repeatable."""
    meta = template.metadata
    prefix = f"{owner.metadata.name}-"
    pod = Pod(
        metadata=ObjectMeta(
            name=prefix[:MAX_PREFIX] + suffix,
            generate_name=prefix,
            namespace=owner.metadata.namespace,
            labels=meta.labels,
            annotations=meta.annotations,
            finalizers=meta.finalizers,
            owner_references=[controller_reference(owner)],
        ),
        spec=template.spec,
    )
    return copy_object(pod)


def status_of(
    family: Family, owner: Any, pods: Sequence[Pod], failure: tuple[str, ApiError] | None, *, now_s: float, now: str
) -> Any:
    """The status that these pods amount to."""
    active = [pod for pod in pods if is_active(pod)]
    template_labels = (owner.spec.template.metadata.labels if owner.spec.template else {}).items()
    status = type(owner.status)(
        replicas=len(active),
        fully_labeled_replicas=sum(template_labels <= pod.metadata.labels.items() for pod in active),
        ready_replicas=sum(is_ready(pod) for pod in active),
        available_replicas=sum(is_available(pod, owner.spec.min_ready_seconds, now_s) for pod in active),
        observed_generation=owner.metadata.generation,
        conditions=conditions_of(family, owner, failure, now),
    )
    if family.counts_terminating:
        status.terminating_replicas = sum(is_terminating(pod) for pod in pods)
    return status


def conditions_of(family: Family, owner: Any, failure: tuple[str, ApiError] | None, now: str) -> list[Any]:
    """ReplicaFailure comes with the first failure and goes when a round succeeds; all others are left alone."""
    conditions: list[Any] = list(owner.status.conditions)
    known = next((condition for condition in conditions if condition.type == "ReplicaFailure"), None)
    if failure is None:
        return [condition for condition in conditions if condition is not known]
    if known is None:
        reason, error = failure
        conditions.append(
            family.condition(
                type="ReplicaFailure", status="True", reason=reason, message=str(error), last_transition_time=now
            )
        )
    return conditions


def next_availability_s(pods: Sequence[Pod], min_ready_seconds: int, now_s: float) -> float | None:
    """When the next ready pod becomes available, which no event will tell."""
    waits_s = [available_in_s(pod, min_ready_seconds, now_s) for pod in pods if is_active(pod)]
    return min((wait_s for wait_s in waits_s if wait_s), default=None)
