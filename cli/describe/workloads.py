"""Descriptions of Deployments, ReplicaSets and ReplicationControllers."""

from collections.abc import Sequence

from cli.describe.page import Page, head, owner_of
from cli.describe.pods import describe_template
from cli.resources import Tree
from cli.workloads import phase, selector_text


def describe_deployment(page: Page, deployment: Tree, replica_sets: Sequence[Tree]) -> None:
    spec, status = deployment["spec"], deployment.get("status") or {}
    head(page, deployment)
    page.field("CreationTimestamp", deployment["metadata"].get("creationTimestamp"))
    page.field("Selector", selector_text(spec.get("selector")))
    counts = {
        "desired": spec.get("replicas", 1),
        "updated": status.get("updatedReplicas", 0),
        "total": status.get("replicas", 0),
        "available": status.get("availableReplicas", 0),
        "unavailable": status.get("unavailableReplicas", 0),
    }
    page.field("Replicas", " | ".join(f"{count} {word}" for word, count in counts.items()))
    strategy = spec.get("strategy") or {}
    page.field("StrategyType", strategy.get("type"))
    page.field("MinReadySeconds", spec.get("minReadySeconds", 0))
    if rolling := strategy.get("rollingUpdate"):
        text = f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge"
        page.field("RollingUpdate", text)
    if spec.get("paused"):
        page.field("Paused", True)
    describe_template(page, spec["template"])
    rows = [[each["type"], each["status"], each.get("reason", "")] for each in status.get("conditions") or []]
    page.table("Conditions", ["Type", "Status", "Reason"], rows)
    rows = [[each["metadata"]["name"], _filled(each)] for each in replica_sets]
    page.table("ReplicaSets", ["Name", "Replicas"], rows)


def _filled(replica_set: Tree) -> str:
    status = replica_set.get("status") or {}
    return f"{status.get('replicas', 0)}/{replica_set['spec'].get('replicas', 1)} replicas created"


def describe_replicas(page: Page, tree: Tree, pods: Sequence[Tree]) -> None:
    spec, status = tree["spec"], tree.get("status") or {}
    head(page, tree)
    if owner := owner_of(tree["metadata"]):
        page.field("Controlled By", owner)
    page.field("Selector", selector_text(spec.get("selector")))
    page.field("Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    phases = [phase(pod) for pod in pods]
    words = ("Running", "Pending", "Succeeded", "Failed")
    page.field("Pods Status", " / ".join(f"{phases.count(word)} {word}" for word in words))
    describe_template(page, spec["template"])
