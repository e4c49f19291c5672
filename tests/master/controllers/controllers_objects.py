"""Small objects for tests of pure plans."""

from master.api.apps.deployment import Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from master.api.apps.replicaset import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from master.api.core.container import Container
from master.api.core.node import Node, NodeCondition, NodeSpec, NodeStatus, Taint
from master.api.core.pod import Pod, PodCondition, PodSpec, PodStatus, PodTemplateSpec
from master.api.core.service import Service, ServicePort, ServiceSpec
from master.api.meta import LabelSelector, ObjectMeta
from master.api.model import IntOrString
from master.api.timestamps import now_rfc3339

LABELS = {"app": "web"}
EPOCH_S = 1_700_000_000.0
NOW = now_rfc3339(EPOCH_S)


def at(seconds: float) -> str:
    return now_rfc3339(EPOCH_S + seconds)


def pod(
    name: str,
    *,
    node: str = "n-1",
    phase: str = "Running",
    ready: bool = True,
    ready_since_s: float = 0,
    deleted: bool = False,
    labels: dict[str, str] | None = None,
    ip: str = "",
    age_s: float = 0,
) -> Pod:
    condition = PodCondition(type="Ready", status=str(ready), last_transition_time=at(-ready_since_s))
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            labels=LABELS if labels is None else labels,
            creation_timestamp=at(-age_s),
            deletion_timestamp=NOW if deleted else None,
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(phase=phase, conditions=[condition], pod_ip=ip),
    )


def template(image: str) -> PodTemplateSpec:
    return PodTemplateSpec(
        metadata=ObjectMeta(labels=LABELS), spec=PodSpec(containers=[Container(name="web", image=image)])
    )


def deployment(
    replicas: int | None,
    *,
    surge: IntOrString | None = None,
    unavailable: IntOrString | None = None,
    kind: str = "RollingUpdate",
    image: str = "web:2",
) -> Deployment:
    rolling = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    strategy = DeploymentStrategy(type=kind, rolling_update=rolling if kind == "RollingUpdate" else None)
    return Deployment(
        metadata=ObjectMeta(name="web", namespace="default", uid="uid-web", generation=1),
        spec=DeploymentSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels=LABELS),
            template=template(image),
            strategy=strategy,
        ),
    )


def replica_set(
    name: str, replicas: int, *, available: int = 0, pods: int | None = None, image: str = "web:1", age_s: float = 0
) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}", creation_timestamp=at(-age_s)),
        spec=ReplicaSetSpec(replicas=replicas, template=template(image)),
        status=ReplicaSetStatus(
            replicas=replicas if pods is None else pods, ready_replicas=available, available_replicas=available
        ),
    )


def node(name: str, ready: str = "True", *, taints: list[Taint] | None = None, cordoned: bool = False) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=NodeSpec(taints=taints or [], unschedulable=cordoned),
        status=NodeStatus(conditions=[NodeCondition(type="Ready", status=ready)]),
    )


def service(*ports: ServicePort, publish: bool = False, cluster_ip: str = "10.96.0.7") -> Service:
    return Service(
        metadata=ObjectMeta(name="web", namespace="default", uid="uid-svc"),
        spec=ServiceSpec(
            selector=LABELS, ports=list(ports), publish_not_ready_addresses=publish, cluster_ip=cluster_ip
        ),
    )
