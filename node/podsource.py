"""Which pods this node should run: those the API has bound to it, and the static ones of its manifest folder.

Everything is keyed by uid: a pod deleted and made again under the same name is another pod. Mirror pods are not run;
they are kept in step with the static pods they show.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.status import ApiError, NotFound
from master.client.informer import Informer
from master.client.rest import RestClient
from master.client.store import Delta, object_key
from node.mirrors import create_mirror, delete_mirror, is_mirror, mirrors
from node.statics import SCAN_S, ManifestFolder

log = logging.getLogger(__name__)

MIRROR_RETRY_S = 2.0
BY_UID = "uid"


def _uid(pod: Pod) -> Iterable[str]:
    return (pod.metadata.uid,)


class PodSource:
    """`on_change(uid)` is called whenever a pod came, changed or went; `get` says what it is now."""

    def __init__(
        self,
        client: RestClient,
        node_name: str,
        manifests: ManifestFolder | None,
        on_change: Callable[[str], None],
        own_node: Callable[[], Node | None],
    ) -> None:
        self._client = client
        self._manifests = manifests
        self._on_change = on_change
        self._own_node = own_node
        self._statics: dict[str, Pod] = {}
        self._scanned = manifests is None
        self._mirrors_due = asyncio.Event()
        self.informer: Informer[Pod] = Informer(client, Pod, field_selector=f"spec.nodeName={node_name}")
        self.informer.add_index(BY_UID, _uid)
        self.informer.add_handler(self._on_delta)

    @property
    def has_synced(self) -> bool:
        """Only then is a pod that runs and is not known here certainly unwanted."""
        return self._scanned and self.informer.has_synced

    def get(self, uid: str) -> Pod | None:
        static = self._statics.get(uid)
        if static is not None:
            return static
        found = self.informer.by_index(BY_UID, uid)
        return found[0] if found and not is_mirror(found[0]) else None

    def pods(self) -> list[Pod]:
        return [*self._statics.values(), *(pod for pod in self.informer.list() if not is_mirror(pod))]

    def api_object(self, pod: Pod) -> Pod | None:
        """Where the pod's status is written: itself, or the mirror of a static pod."""
        if pod.metadata.uid in self._statics:
            found = self._mirror(pod)
            return found if found is not None and mirrors(found, pod) else None
        found_list = self.informer.by_index(BY_UID, pod.metadata.uid)
        return found_list[0] if found_list else None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informer.run(), name="pod-informer")
            if self._manifests is not None:
                group.create_task(self._scan_manifests(self._manifests), name="manifests")
                group.create_task(self._keep_mirrors(), name="mirrors")

    def _on_delta(self, delta: Delta[Pod]) -> None:
        if is_mirror(delta.object):
            self._mirrors_due.set()
            for uid, static in self._statics.items():
                if object_key(static) == object_key(delta.object):
                    self._on_change(uid)
        else:
            self._on_change(delta.object.metadata.uid)

    def _mirror(self, static: Pod) -> Pod | None:
        found = self.informer.get(object_key(static))
        return found if found is not None and is_mirror(found) else None

    async def _scan_manifests(self, manifests: ManifestFolder) -> None:
        while True:
            now = {pod.metadata.uid: pod for pod in manifests.scan()}
            changed = now.keys() ^ self._statics.keys()
            self._statics, self._scanned = now, True
            for uid in changed:
                self._on_change(uid)
            if changed:
                self._mirrors_due.set()
            await asyncio.sleep(SCAN_S)

    async def _keep_mirrors(self) -> None:
        await self.informer.wait_synced()
        while True:
            await self._mirrors_due.wait()
            self._mirrors_due.clear()
            try:
                await self._sync_mirrors()
            except (ApiError, OSError, TimeoutError) as error:
                log.info("mirror pods: %s", error)
                self._mirrors_due.set()
                await asyncio.sleep(MIRROR_RETRY_S)

    async def _sync_mirrors(self) -> None:
        wanted = {object_key(static): static for static in self._statics.values()}
        for mirror in [pod for pod in self.informer.list() if is_mirror(pod)]:
            static = wanted.get(object_key(mirror))
            if static is None or not mirrors(mirror, static) or mirror.metadata.deletion_timestamp:
                await delete_mirror(self._client, mirror)
        missing = [static for key, static in wanted.items() if self.informer.get(key) is None]
        node = self._own_node() if missing else None
        if missing and node is None:
            raise NotFound("this node is not registered")  # its mirrors would be collected at once
        for static in missing:
            await create_mirror(self._client, static, node)
