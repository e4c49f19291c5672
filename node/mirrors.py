"""Mirror pods: how static pods show in the API. Made by the kubelet, never run, made again when deleted."""

import logging

import msgspec

from master.api.core.node import Node
from master.api.core.pod import Pod, PodStatus
from master.api.meta import ObjectMeta, OwnerReference
from master.api.status import AlreadyExists, NotFound
from master.client.rest import RestClient

log = logging.getLogger(__name__)

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_MIRROR = "kubernetes.io/config.mirror"


def is_mirror(pod: Pod) -> bool:
    return CONFIG_MIRROR in pod.metadata.annotations


def is_static(pod: Pod) -> bool:
    return pod.metadata.annotations.get(CONFIG_SOURCE) == "file" and not is_mirror(pod)


def mirrors(mirror: Pod, static: Pod) -> bool:
    """Whether the API's object shows this very version of the static pod."""
    return mirror.metadata.annotations.get(CONFIG_MIRROR) == static.metadata.annotations[CONFIG_HASH]


def mirror_of(static: Pod, node: Node | None) -> Pod:
    """The object to create. Without secrets and service account: a static pod cannot use the API's objects."""
    meta = static.metadata
    annotations = {**meta.annotations, CONFIG_MIRROR: meta.annotations[CONFIG_HASH]}
    owners = []
    if node is not None:
        owners = [
            OwnerReference(
                api_version="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid, controller=True
            )
        ]
    return msgspec.structs.replace(
        static,
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            labels=meta.labels,
            annotations=annotations,
            owner_references=owners,
        ),
        status=PodStatus(),
    )


async def create_mirror(client: RestClient, static: Pod, node: Node | None) -> None:
    try:
        await client.create(mirror_of(static, node))
    except AlreadyExists:
        log.debug("mirror of %s is there already", static.metadata.name)


async def delete_mirror(client: RestClient, mirror: Pod) -> None:
    meta = mirror.metadata
    try:
        await client.delete(Pod, meta.name, meta.namespace, uid=meta.uid, grace_period_s=0)
    except NotFound:
        log.debug("mirror %s is gone already", meta.name)
