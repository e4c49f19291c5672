"""Descriptions of pods, and of the pod templates of workloads."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.describe.page import Page, head, owner_of
from cli.resources import Tree


def describe_pod(page: Page, pod: Tree) -> None:
    spec, status = pod["spec"], pod.get("status") or {}
    head_of_pod(page, pod)
    page.field("Status", "Terminating" if pod["metadata"].get("deletionTimestamp") else status.get("phase"))
    for field in ("reason", "message"):
        if status.get(field):
            page.field(field.capitalize(), status[field])
    page.field("IP", status.get("podIP"))
    if owner := owner_of(pod["metadata"]):
        page.field("Controlled By", owner)
    statuses = {
        each["name"]: each
        for field in ("initContainerStatuses", "containerStatuses")
        for each in status.get(field) or []
    }
    for label, field in (("Init Containers", "initContainers"), ("Containers", "containers")):
        if spec.get(field):
            describe_containers(page, label, spec[field], statuses)
    conditions = [[each["type"], each["status"], each.get("reason", "")] for each in status.get("conditions") or []]
    page.table("Conditions", ["Type", "Status", "Reason"], conditions)
    describe_volumes(page, spec.get("volumes") or [])
    page.field("QoS Class", status.get("qosClass"))
    page.mapping("Node-Selectors", spec.get("nodeSelector"))
    page.field("Tolerations", "\n".join(map(toleration, spec.get("tolerations") or [])))


def head_of_pod(page: Page, pod: Tree) -> None:
    spec, status = pod["spec"], pod.get("status") or {}
    head(page, pod)
    if spec.get("priority"):
        page.field("Priority", spec["priority"])
    page.field("Service Account", spec.get("serviceAccountName"))
    host = "/".join(filter(None, (spec.get("nodeName"), status.get("hostIP"))))
    page.field("Node", host)
    page.field("Start Time", status.get("startTime"))


def describe_template(page: Page, template: Tree, *, level: int = 0) -> None:
    page.heading("Pod Template", level=level)
    page.mapping("Labels", (template.get("metadata") or {}).get("labels"), level=level + 1)
    if annotations := (template.get("metadata") or {}).get("annotations"):
        page.mapping("Annotations", annotations, level=level + 1)
    describe_containers(page, "Containers", template["spec"].get("containers") or [], {}, level=level + 1)
    describe_volumes(page, template["spec"].get("volumes") or [], level=level + 1)


def describe_containers(
    page: Page, label: str, containers: Sequence[Tree], statuses: Mapping[str, Tree], *, level: int = 0
) -> None:
    page.heading(label, level=level)
    for container in containers:
        page.heading(container["name"], level=level + 1)
        _container(page, container, statuses.get(container["name"]), level=level + 2)


def _container(page: Page, container: Tree, status: Tree | None, *, level: int) -> None:
    if status is not None:
        page.field("Container ID", status.get("containerID"), level=level)
    page.field("Image", container.get("image"), level=level)
    ports = [f"{each['containerPort']}/{each.get('protocol', 'TCP')}" for each in container.get("ports") or []]
    page.field("Ports", ", ".join(ports), level=level)
    for label, field in (("Command", "command"), ("Args", "args")):
        if container.get(field):
            page.field(label, "\n".join(container[field]), level=level)
    if status is not None:
        _states(page, status, level=level)
    for label in ("limits", "requests"):
        amounts = (container.get("resources") or {}).get(label)
        if amounts:
            page.field(label.capitalize(), _pairs(amounts), level=level)
    for label, field in (("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")):
        if container.get(field):
            page.field(label, probe(container[field]), level=level)
    page.field("Environment", "\n".join(map(environment, container.get("env") or [])), level=level)
    mounts = [f"{each['mountPath']} from {each['name']}" for each in container.get("volumeMounts") or []]
    page.field("Mounts", "\n".join(mounts), level=level)


def _states(page: Page, status: Tree, *, level: int) -> None:
    for label, field in (("State", "state"), ("Last State", "lastState")):
        for name, state in (status.get(field) or {}).items():
            page.field(label, name.capitalize(), level=level)
            for key, value in state.items():
                if key != "containerID":
                    page.field(f"  {key[:1].upper()}{key[1:]}", value, level=level)
    page.field("Ready", bool(status.get("ready")), level=level)
    page.field("Restart Count", status.get("restartCount", 0), level=level)


def describe_volumes(page: Page, volumes: Sequence[Tree], *, level: int = 0) -> None:
    if not volumes:
        page.field("Volumes", "<none>", level=level)
        return
    page.heading("Volumes", level=level)
    for volume in volumes:
        kind = next((key for key in volume if key != "name"), "emptyDir")
        detail = volume.get(kind) or {}
        page.field(volume["name"], f"{kind} {_pairs(detail)}".rstrip(), level=level + 1)


def environment(variable: Tree) -> str:
    source: Any = variable.get("valueFrom")
    if not source:
        return f"{variable['name']}={variable.get('value', '')}"
    kind, detail = next(iter(source.items()))
    return f"{variable['name']} from {kind} {_pairs(detail)}"


def probe(tree: Tree) -> str:
    kind = next((key for key in ("exec", "httpGet", "tcpSocket", "grpc") if key in tree), "")
    rest = {key: value for key, value in tree.items() if key != kind}
    return f"{kind} {_pairs(tree.get(kind) or {})} {_pairs(rest)}".strip()


def toleration(tree: Tree) -> str:
    text = str(tree.get("key", "")) + (f"={tree['value']}" if tree.get("value") else "")
    text += f":{tree['effect']}" if tree.get("effect") else ""
    text += " op=Exists" if tree.get("operator") == "Exists" else ""
    seconds = tree.get("tolerationSeconds")
    return (text + (f" for {seconds}s" if seconds is not None else "")).strip()


def _pairs(values: Mapping[str, Any]) -> str:
    scalars = ((key, value) for key, value in values.items() if value not in (None, "", [], {}))
    return ", ".join(
        f"{key}={' '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in scalars
    )
