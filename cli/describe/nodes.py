"""Descriptions of nodes, with the pods on them and what these have reserved."""

from collections.abc import Sequence

from cli.describe.page import Page, head
from cli.resources import Tree
from master.api.quantity import format_quantity, milli, whole

FINISHED = ("Succeeded", "Failed")


def describe_node(page: Page, node: Tree, pods: Sequence[Tree], lease: Tree | None) -> None:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    head(page, node)
    page.field("CreationTimestamp", node["metadata"].get("creationTimestamp"))
    taints = [
        f"{each['key']}{'=' + each['value'] if each.get('value') else ''}:{each['effect']}"
        for each in spec.get("taints") or []
    ]
    page.field("Taints", "\n".join(taints))
    page.field("Unschedulable", bool(spec.get("unschedulable")))
    if lease is not None:
        page.heading("Lease")
        page.field("HolderIdentity", lease["spec"].get("holderIdentity"), level=1)
        page.field("RenewTime", lease["spec"].get("renewTime"), level=1)
    rows = [
        [
            each["type"],
            each["status"],
            each.get("lastHeartbeatTime") or "",
            each.get("reason", ""),
            each.get("message", ""),
        ]
        for each in status.get("conditions") or []
    ]
    page.table("Conditions", ["Type", "Status", "LastHeartbeatTime", "Reason", "Message"], rows)
    page.heading("Addresses")
    for address in status.get("addresses") or []:
        page.field(address["type"], address["address"], level=1)
    for label in ("capacity", "allocatable"):
        page.heading(label.capitalize())
        for resource, amount in sorted((status.get(label) or {}).items()):
            page.field(resource, amount, level=1)
    page.heading("System Info")
    page.tree(status.get("nodeInfo") or {}, level=1)
    page.field("PodCIDR", spec.get("podCIDR"))
    _pods(page, [pod for pod in pods if (pod.get("status") or {}).get("phase") not in FINISHED], status)


def _pods(page: Page, pods: Sequence[Tree], status: Tree) -> None:
    rows = [[pod["metadata"]["namespace"], pod["metadata"]["name"], *_requests(pod)] for pod in pods]
    page.table(f"Non-terminated Pods ({len(pods)})", ["Namespace", "Name", "CPU Requests", "Memory Requests"], rows)
    allocatable = status.get("allocatable") or {}
    cpu, memory = sum(_cpu_milli(pod) for pod in pods), sum(_memory_bytes(pod) for pod in pods)
    rows = [
        ["cpu", f"{cpu}m{share(cpu, milli(allocatable.get('cpu', 0)))}"],
        ["memory", f"{format_quantity(memory, 'BinarySI')}{share(memory, whole(allocatable.get('memory', 0)))}"],
    ]
    page.table("Allocated resources", ["Resource", "Requests"], rows)


def share(used: int, total: int) -> str:
    return f" ({100 * used // total}%)" if total else ""


def _requests(pod: Tree) -> list[str]:
    return [f"{_cpu_milli(pod)}m", format_quantity(_memory_bytes(pod), "BinarySI")]


def _cpu_milli(pod: Tree) -> int:
    return sum(milli(requests.get("cpu", 0)) for requests in _container_requests(pod))


def _memory_bytes(pod: Tree) -> int:
    return sum(whole(requests.get("memory", 0)) for requests in _container_requests(pod))


def _container_requests(pod: Tree) -> list[Tree]:
    return [(container.get("resources") or {}).get("requests") or {} for container in pod["spec"]["containers"]]
