"""Objects whose owners are gone go too; the graph is the owner references, known by uid.

Desired: nothing lives that names owners none of which exists. An owner deleted in the foreground waits for its blocking
dependents, one deleted with `orphan` first lets its dependents go free. Observed: all kinds that may own or be owned;
the caches only raise suspicion, the live API decides. Writes: deletes dependents, removes references and the two
finalizers `foregroundDeletion` and `orphan`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from master.api.core.event import Event
from master.api.meta import Object, OwnerReference
from master.api.scheme import SCHEME, ResourceInfo
from master.api.status import Conflict, NotFound
from master.client.consistency import version_number
from master.client.rest import object_key
from master.client.store import DELETED, Delta
from master.controllers.base import Context, Controller, Watch, is_fenced
from master.controllers.owners import release_patch

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
OWNER_INDEX = "owner"
MAX_ABSENT = 500
"""Owners known to be gone (uids never return); Kubernetes' cache has the same size."""
MAX_CONCURRENT_RELEASES = 16


class Owners(msgspec.Struct, frozen=True):
    """An object's references by what is true of the owners now."""

    solid: tuple[OwnerReference, ...] = ()
    dangling: tuple[OwnerReference, ...] = ()
    waiting: tuple[OwnerReference, ...] = ()
    """Owners deleted in the foreground, which wait for this object if it blocks them."""


class GarbageCollector(Controller):
    name = "garbage-collector"
    workers = 16

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._kinds = [info for info in SCHEME.all() if info.struct is not Event and "delete" in info.verbs]
        self._by_resource = {resource_of(info): info for info in self._kinds}
        self._absent: OrderedDict[str, None] = OrderedDict()
        for info in self._kinds:
            context.informers.indexed(info.struct, OWNER_INDEX, owner_uids)

    def watches(self) -> Sequence[Watch]:
        return [Watch(info.struct, self._keys_of) for info in self._kinds]

    def attach(self) -> None:
        super().attach()
        for info in self._kinds:
            self.informers.of(info.struct).add_handler(self._on_end)

    def _keys_of(self, obj: Object) -> Iterable[str]:
        """The object itself if it has owners or waits for its dependents, and owners that wait for it."""
        if obj.metadata.owner_references or is_waiting(obj) or is_orphaning(obj):
            yield key_of(obj)
        for reference in obj.metadata.owner_references:
            info = self._info(reference)
            if info is not None and resource_of(info) in self._by_resource:
                yield f"{resource_of(info)}|{self._place(info, obj, reference)}"
        if obj.metadata.deletion_timestamp is not None:
            yield from map(key_of, self._dependents(obj))

    def _on_end(self, delta: Delta[Any]) -> None:
        if delta.type == DELETED:
            for dependent in self._dependents(delta.object):
                self.queue.add(key_of(dependent))

    def _dependents(self, owner: Object) -> list[Object]:
        uid = owner.metadata.uid
        return [obj for info in self._kinds for obj in self.informers.of(info.struct).by_index(OWNER_INDEX, uid)]

    def _info(self, reference: OwnerReference) -> ResourceInfo | None:
        group, _, version = reference.api_version.rpartition("/")
        info = SCHEME.by_kind(group, version, reference.kind)
        return info if info is not None and info.plural and "get" in info.verbs else None

    def _place(self, info: ResourceInfo, dependent: Object, reference: OwnerReference) -> str:
        return f"{dependent.metadata.namespace}/{reference.name}" if info.namespaced else reference.name

    async def reconcile(self, key: str) -> float | None:
        resource, _, place = key.partition("|")
        info = self._by_resource[resource]
        obj = self.informers.of(info.struct).get(place)
        if obj is None:
            return None
        if is_orphaning(obj):
            await self._orphan(key, obj)
        elif is_waiting(obj):
            await self._release_when_alone(key, obj)
        elif obj.metadata.owner_references:
            await self._judge(key, info, obj)
        return None

    async def _orphan(self, key: str, owner: Object) -> None:
        limit = asyncio.Semaphore(MAX_CONCURRENT_RELEASES)

        async def release(dependent: Object) -> None:
            async with limit:
                try:
                    await self.patch(key, dependent, release_patch(dependent, [owner.metadata.uid]))
                except NotFound:
                    return

        await asyncio.gather(*(release(dependent) for dependent in await self._all_dependents(owner)))
        await self._remove_finalizer(key, owner, ORPHAN)

    async def _all_dependents(self, owner: Object) -> list[Object]:
        """Also those that a cache does not show yet: whoever is overlooked here would be collected afterwards."""
        found = {dependent.metadata.uid: dependent for dependent in self._dependents(owner)}
        meta = owner.metadata
        for info in self._kinds:
            seen = version_number(self.informers.of(info.struct).resource_version)
            if seen >= version_number(meta.resource_version) or (meta.namespace and not info.namespaced):
                continue
            listed = (await self.client.list(info.struct, meta.namespace)).items
            found |= {obj.metadata.uid: obj for obj in listed if meta.uid in owner_uids(obj)}
        return list(found.values())

    async def _release_when_alone(self, key: str, owner: Object) -> None:
        dependents = self._dependents(owner)
        for dependent in dependents:
            self.queue.add(key_of(dependent))
        if not any(is_blocking(dependent, owner) for dependent in dependents):
            await self._remove_finalizer(key, owner, FOREGROUND)

    async def _remove_finalizer(self, key: str, obj: Object, finalizer: str) -> None:
        rest = [other for other in obj.metadata.finalizers if other != finalizer]
        meta = {"finalizers": rest or None, "uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
        try:
            await self.patch(key, obj, {"metadata": meta}, patch_type="merge")
        except NotFound:
            return

    async def _judge(self, key: str, info: ResourceInfo, cached: Object) -> None:
        owners = await self._classify(cached)
        if not (owners.dangling or owners.waiting):
            return
        try:
            live: Object = await self.client.get(info.struct, cached.metadata.name, cached.metadata.namespace)
        except NotFound:
            return
        if live.metadata.uid != cached.metadata.uid:
            return
        owners = await self._classify(live)
        lost = [reference.uid for reference in (*owners.dangling, *owners.waiting)]
        if owners.solid:
            if lost:
                await self.patch(key, live, release_patch(live, lost))
        elif lost and live.metadata.deletion_timestamp is None:
            await self._delete(key, live, foreground=bool(owners.waiting) and bool(self._dependents(live)))

    async def _delete(self, key: str, live: Object, *, foreground: bool) -> None:
        """Only in the state that was judged: with the version, an adoption in this very moment wins."""
        meta = live.metadata
        policy = propagation_of(live, foreground=foreground)
        try:
            await self.client.delete(
                type(live),
                meta.name,
                meta.namespace,
                uid=meta.uid,
                resource_version=meta.resource_version,
                propagation=policy,
            )
        except NotFound:
            return
        except Conflict as error:
            if is_fenced(error):
                raise
            self.queue.add_after(key, 0.0)

    async def _classify(self, obj: Object) -> Owners:
        solid: list[OwnerReference] = []
        dangling: list[OwnerReference] = []
        waiting: list[OwnerReference] = []
        for reference in obj.metadata.owner_references:
            info = self._info(reference)
            if info is None or (info.namespaced and not obj.metadata.namespace):
                solid.append(reference)  # a kind that is not served (now) cannot be judged
                continue
            owner = await self._owner(info, obj, reference)
            if owner is None:
                dangling.append(reference)
            elif is_waiting(owner):
                waiting.append(reference)
            else:
                solid.append(reference)
        return Owners(tuple(solid), tuple(dangling), tuple(waiting))

    async def _owner(self, info: ResourceInfo, obj: Object, reference: OwnerReference) -> Object | None:
        """The owner as cached if the cache has it, else as the API has it: only the API may say that it is gone."""
        if reference.uid in self._absent:
            return None
        cached: Object | None = None
        if resource_of(info) in self._by_resource:
            cached = self.informers.of(info.struct).get(self._place(info, obj, reference))
        if cached is not None and cached.metadata.uid == reference.uid:
            return cached
        try:
            owner: Object = await self.client.get(info.struct, reference.name, obj.metadata.namespace)
        except NotFound:
            owner = Object()
        if owner.metadata.uid == reference.uid:
            return owner
        self._absent[reference.uid] = None
        while len(self._absent) > MAX_ABSENT:
            self._absent.popitem(last=False)
        return None


def resource_of(info: ResourceInfo) -> str:
    return f"{info.group}/{info.version}/{info.plural}"


def key_of(obj: Object) -> str:
    return f"{resource_of(SCHEME.by_struct(type(obj)))}|{object_key(obj)}"


def owner_uids(obj: Object) -> list[str]:
    return list({reference.uid: None for reference in obj.metadata.owner_references})


def is_waiting(obj: Object) -> bool:
    """Deleted in the foreground: it stays until the dependents that block it are gone."""
    return obj.metadata.deletion_timestamp is not None and FOREGROUND in obj.metadata.finalizers


def is_orphaning(obj: Object) -> bool:
    return obj.metadata.deletion_timestamp is not None and ORPHAN in obj.metadata.finalizers


def is_blocking(dependent: Object, owner: Object) -> bool:
    return any(
        reference.uid == owner.metadata.uid and bool(reference.block_owner_deletion)
        for reference in dependent.metadata.owner_references
    )


def propagation_of(obj: Object, *, foreground: bool) -> str:
    """What its finalizers ask for; otherwise in the foreground only if somebody waits for its dependents as well."""
    if ORPHAN in obj.metadata.finalizers:
        return "Orphan"
    return "Foreground" if foreground or FOREGROUND in obj.metadata.finalizers else "Background"
