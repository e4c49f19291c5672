"""Which ReplicaSet is the newest, what it is called, and the numbering that `rollout undo` relies on. Pure."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet, ReplicaSetSpec
from master.api.core.pod import PodTemplateSpec
from master.api.meta import LabelSelector, ObjectMeta
from master.client.rest import copy_object
from master.controllers.deployment.sizes import max_surge, wanted
from master.controllers.env import NAME_ALPHABET
from master.controllers.owners import controller_reference
from master.controllers.podstate import created_s

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
OWN_ANNOTATIONS = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
"""Annotations that a ReplicaSet does not take over from its Deployment."""
MAX_HISTORY_LENGTH = 2000
"""Of a ReplicaSet's former revision numbers so many characters are kept (Kubernetes keeps as many)."""
DEFAULT_HISTORY_LIMIT = 10


def template_bytes(template: PodTemplateSpec) -> bytes:
    """A canonical form that ignores the hash label, which only the ReplicaSet's copy has."""
    labels = {key: value for key, value in template.metadata.labels.items() if key != HASH_LABEL}
    meta = msgspec.structs.replace(template.metadata, labels=labels)
    return msgspec.json.encode(msgspec.structs.replace(template, metadata=meta), order="sorted")


def template_hash(template: PodTemplateSpec, collision_count: int) -> str:
    """Short, stable over processes, without vowels; another collision count gives another hash."""
    digest = hashlib.blake2s(template_bytes(template) + b"/%d" % collision_count, digest_size=4).digest()
    digits = str(int.from_bytes(digest, "big"))
    return "".join(NAME_ALPHABET[ord(digit) % len(NAME_ALPHABET)] for digit in digits)


def newest(deployment: Deployment, replica_sets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The one with the deployment's present template; of several (an old race) the oldest."""
    wanted_bytes = template_bytes(deployment.spec.template)
    equal = [replica_set for replica_set in replica_sets if template_bytes(replica_set.spec.template) == wanted_bytes]
    return min(equal, key=by_age, default=None)


def by_age(replica_set: ReplicaSet) -> tuple[float, str]:
    return created_s(replica_set), replica_set.metadata.name


def revision_of(annotations: Mapping[str, str]) -> int:
    text = annotations.get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def next_revision(old: Sequence[ReplicaSet]) -> int:
    return max((revision_of(replica_set.metadata.annotations) for replica_set in old), default=0) + 1


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """What proportional scaling later needs to know of the size that was meant."""
    total = wanted(deployment)
    return {DESIRED_REPLICAS: str(total), MAX_REPLICAS: str(total + max_surge(deployment))}


def annotations_of_newest(deployment: Deployment, existing: Mapping[str, str], revision: int) -> dict[str, str]:
    """The newest ReplicaSet's annotations: the deployment's own, and a revision that never goes back."""
    annotations = dict(existing)
    for key, value in deployment.metadata.annotations.items():
        if key not in OWN_ANNOTATIONS:
            annotations[key] = value
    former = revision_of(annotations)
    if former < revision:
        if former:
            history = [*filter(None, annotations.get(REVISION_HISTORY, "").split(",")), str(former)]
            while len(",".join(history)) > MAX_HISTORY_LENGTH:
                del history[0]
            annotations[REVISION_HISTORY] = ",".join(history)
        annotations[REVISION] = str(revision)
    return annotations


def make_replica_set(deployment: Deployment, replicas: int, revision: int) -> ReplicaSet:
    """The ReplicaSet of the deployment's present template, its name given by the template's hash."""
    own_hash = template_hash(deployment.spec.template, deployment.status.collision_count or 0)
    meta = deployment.metadata
    template = deployment.spec.template
    labels = {**template.metadata.labels, HASH_LABEL: own_hash}
    selector = deployment.spec.selector or LabelSelector()
    replica_set = ReplicaSet(
        metadata=ObjectMeta(
            name=f"{meta.name}-{own_hash}",
            namespace=meta.namespace,
            labels=labels,
            annotations=annotations_of_newest(deployment, {}, revision) | size_annotations(deployment),
            owner_references=[controller_reference(deployment)],
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=deployment.spec.min_ready_seconds,
            selector=msgspec.structs.replace(selector, match_labels={**selector.match_labels, HASH_LABEL: own_hash}),
            template=msgspec.structs.replace(
                template, metadata=msgspec.structs.replace(template.metadata, labels=labels)
            ),
        ),
    )
    return copy_object(replica_set)


def plan_cleanup(deployment: Deployment, old: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """Old ReplicaSets beyond the history limit, lowest revision first; never one that has or wants pods."""
    limit = deployment.spec.revision_history_limit
    living = [replica_set for replica_set in old if replica_set.metadata.deletion_timestamp is None]
    surplus = len(living) - (DEFAULT_HISTORY_LIMIT if limit is None else limit)
    if surplus <= 0:
        return []
    living.sort(key=lambda replica_set: (revision_of(replica_set.metadata.annotations), by_age(replica_set)))
    return [
        replica_set
        for replica_set in living[:surplus]
        if replica_set.status.replicas == 0
        and wanted(replica_set) == 0
        and replica_set.metadata.generation <= replica_set.status.observed_generation
    ]
