"""Deployments: rolling out templates and scaling them.

Desired: `spec.replicas` pods of `spec.template`, reached by `spec.strategy`. Observed: the ReplicaSets that it controls
and what they report (for Recreate also their pods). Writes: ReplicaSets (create, size, revision, delete beyond the
history limit), the deployment's revision annotation and its status. It never touches pods.

A round makes one step and reports; the ReplicaSets' answers call for the next round.
"""

from collections.abc import Iterable, Sequence

import msgspec

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet
from master.api.core.pod import Pod
from master.api.selectors import selector_from
from master.api.status import AlreadyExists
from master.client.rest import object_key
from master.controllers.base import Context, Controller, Watch
from master.controllers.claiming import claim
from master.controllers.deployment import revisions
from master.controllers.deployment.progress import recheck_in_s, with_pause, with_progress
from master.controllers.deployment.recreate import any_runs, plan_start, plan_stop
from master.controllers.deployment.rolling import plan_rolling, size_of_newest
from master.controllers.deployment.scaling import is_scaling, plan_scaling
from master.controllers.deployment.sizes import Resize, is_rolling, wanted
from master.controllers.deployment.status import (
    PROGRESSING,
    Conditions,
    condition_of,
    counts,
    is_complete,
    same,
    with_condition,
    with_failures,
)
from master.controllers.informers import CONTROLLER_INDEX, orphans_of
from master.controllers.owners import controller_key, controller_of, is_controlled_by


class Round(msgspec.Struct):
    """What one round knows; the conditions grow while it goes on."""

    key: str
    deployment: Deployment
    new: ReplicaSet | None
    old: list[ReplicaSet]
    conditions: Conditions

    @property
    def all_sets(self) -> list[ReplicaSet]:
        return [*self.old, self.new] if self.new is not None else list(self.old)


class DeploymentController(Controller):
    name = "deployment-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deployments = context.informers.of(Deployment)
        self._replica_sets = context.informers.by_controller(ReplicaSet)
        self._pods = context.informers.by_controller(Pod)

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(Deployment, lambda deployment: (object_key(deployment),)),
            Watch(ReplicaSet, self._keys_of_replica_set),
            Watch(Pod, self._keys_of_pod),
        )

    def _keys_of_replica_set(self, replica_set: ReplicaSet) -> Iterable[str]:
        if controller_of(replica_set) is not None:
            key = controller_key(replica_set, Deployment)
            return (key,) if key else ()
        labels = replica_set.metadata.labels
        return [
            object_key(deployment)
            for deployment in self._deployments.list(replica_set.metadata.namespace)
            if selector_from(deployment.spec.selector).matches(labels)
        ]

    def _keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """Only Recreate looks at pods: it waits for the last old one to go."""
        owner_key = controller_key(pod, ReplicaSet)
        replica_set = self._replica_sets.get(owner_key) if owner_key else None
        key = controller_key(replica_set, Deployment) if replica_set else None
        deployment = self._deployments.get(key) if key else None
        return (object_key(deployment),) if deployment and not is_rolling(deployment) else ()

    async def reconcile(self, key: str) -> float | None:
        deployment = self._deployments.get(key)
        if deployment is None:
            return None
        this = await self._survey(key, deployment)
        if deployment.metadata.deletion_timestamp is not None:
            return await self._report(this, follow=False)
        this.conditions = with_pause(deployment, this.conditions, self.env.now())
        scaling = is_scaling(deployment, this.all_sets)
        if this.new is not None:
            await self._keep_newest(this, this.new)
        if deployment.spec.paused or scaling:
            await self._resize(this, plan_scaling(deployment, this.new, this.old))
        elif is_rolling(deployment):
            await self._roll(this)
        else:
            await self._recreate(this)
        return await self._report(this, follow=not (deployment.spec.paused or scaling))

    async def _survey(self, key: str, deployment: Deployment) -> Round:
        candidates = [
            *self._replica_sets.by_index(CONTROLLER_INDEX, deployment.metadata.uid),
            *self._replica_sets.by_index(CONTROLLER_INDEX, orphans_of(deployment.metadata.namespace)),
        ]
        owned = await claim(self, key, deployment, selector_from(deployment.spec.selector), candidates)
        new = revisions.newest(deployment, owned)
        old = [replica_set for replica_set in owned if replica_set is not new]
        return Round(key, deployment, new, old, deployment.status.conditions)

    async def _roll(self, this: Round) -> None:
        new = this.new or await self._create_newest(this)
        if new is not None:
            await self._resize(this, plan_rolling(this.deployment, new, this.old))
            await self._clean_up(this)

    async def _recreate(self, this: Round) -> None:
        stops = plan_stop(this.old)
        await self._resize(this, stops)
        pods = [pod for old in this.old for pod in self._pods.by_index(CONTROLLER_INDEX, old.metadata.uid)]
        if stops or any_runs(pods):
            return
        new = this.new or await self._create_newest(this)
        if new is not None:
            await self._resize(this, plan_start(this.deployment, new))
            await self._clean_up(this)

    async def _keep_newest(self, this: Round, new: ReplicaSet) -> None:
        """Its revision is the highest (an undo brings an old one back), its annotations follow the deployment's."""
        deployment = this.deployment
        revision = revisions.next_revision(this.old)
        annotations = revisions.annotations_of_newest(deployment, new.metadata.annotations, revision)
        min_ready = deployment.spec.min_ready_seconds
        if annotations != new.metadata.annotations or min_ready != new.spec.min_ready_seconds:
            patch = {"metadata": {"annotations": annotations}, "spec": {"minReadySeconds": min_ready}}
            this.new = new = await self.patch(this.key, new, patch)
        await self._number(this, new)
        if condition_of(this.conditions, PROGRESSING) is None:
            message = f'Found new replica set "{new.metadata.name}"'
            self._progress(this, "FoundNewReplicaSet", message)

    async def _number(self, this: Round, new: ReplicaSet) -> None:
        """The deployment carries its newest ReplicaSet's revision, for `kubectl rollout history`."""
        revision = new.metadata.annotations.get(revisions.REVISION, "")
        if this.deployment.metadata.annotations.get(revisions.REVISION) != revision:
            # With the version: an answer that carried a newer spec would be reported as observed without having been.
            version = this.deployment.metadata.resource_version
            patch = {"metadata": {"annotations": {revisions.REVISION: revision}, "resourceVersion": version}}
            this.deployment = await self.patch(this.key, this.deployment, patch)

    async def _create_newest(self, this: Round) -> ReplicaSet | None:
        """None when the name is taken by another template: then the next round tries another hash."""
        deployment = this.deployment
        revision = revisions.next_revision(this.old)
        size = size_of_newest(deployment, this.old, 0)
        try:
            new = await self.create(this.key, revisions.make_replica_set(deployment, size, revision))
        except AlreadyExists:
            await self._avoid_collision(this)
            return None
        if revisions.newest(deployment, [new]) is None or not is_controlled_by(new, deployment):
            await self._avoid_collision(this)
            return None
        this.new = new
        self._progress(this, "NewReplicaSetCreated", f'Created new replica set "{new.metadata.name}"')
        if size > 0:
            self._tell_scaled(deployment, new, 0, size)
        await self._number(this, new)
        return new

    async def _avoid_collision(self, this: Round) -> None:
        deployment = this.deployment
        count = (deployment.status.collision_count or 0) + 1
        status = msgspec.structs.replace(deployment.status, collision_count=count)
        this.deployment = await self.update(
            this.key, msgspec.structs.replace(deployment, status=status), subresource="status"
        )
        self.queue.add(this.key)

    def _progress(self, this: Round, reason: str, message: str) -> None:
        this.conditions = with_condition(this.conditions, PROGRESSING, "True", reason, message, self.env.now())

    async def _resize(self, this: Round, resizes: Sequence[Resize]) -> None:
        annotations = revisions.size_annotations(this.deployment)
        for resize in resizes:
            before = wanted(resize.replica_set)
            known = resize.replica_set.metadata.annotations
            if before == resize.replicas and annotations.items() <= known.items():
                continue
            version = resize.replica_set.metadata.resource_version
            patch = {
                "metadata": {"annotations": annotations, "resourceVersion": version},
                "spec": {"replicas": resize.replicas},
            }
            resized = await self.patch(this.key, resize.replica_set, patch)
            if before != resize.replicas:
                self._tell_scaled(this.deployment, resized, before, resize.replicas)
            this.old = [resized if old is resize.replica_set else old for old in this.old]
            if this.new is resize.replica_set:
                this.new = resized

    def _tell_scaled(self, deployment: Deployment, replica_set: ReplicaSet, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {replica_set.metadata.name} from {before} to {after}"
        self.events.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _clean_up(self, this: Round) -> None:
        if is_complete(this.deployment, this.deployment.status):
            for surplus in revisions.plan_cleanup(this.deployment, this.old):
                await self.delete(this.key, surplus)

    async def _report(self, this: Round, *, follow: bool) -> float | None:
        """`follow`: a rollout is under way or done, so its progress is judged."""
        now, now_s = self.env.now(), self.env.wall_clock()
        status = counts(this.deployment, this.new, this.all_sets, this.conditions, now)
        if follow:
            status.conditions = with_progress(this.deployment, this.new, status, now, now_s)
        status.conditions = with_failures(status.conditions, this.new, this.all_sets, now)
        if not same(status, this.deployment.status):
            deployment = msgspec.structs.replace(this.deployment, status=status)
            this.deployment = await self.update(this.key, deployment, subresource="status")
        return recheck_in_s(this.deployment, status, now_s) if follow else None
