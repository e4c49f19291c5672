"""The downward API: a pod's own fields and resources as text, for variables and for files. Pure."""

import math
import re
from fractions import Fraction

import msgspec

from master.api.core.container import Container
from master.api.core.env import ResourceFieldSelector
from master.api.core.pod import Pod
from master.api.model import Quantity
from master.api.quantity import parse_quantity
from node.objects import ConfigError

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
RESOURCE = re.compile(r"^(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-\S+)$")


class PodFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The pod, and what it can learn of itself that its object does not say yet."""

    pod: Pod
    pod_ip: str = ""
    host_ip: str = ""
    allocatable: dict[str, Quantity] = {}
    """The node's; a container without a limit may use all of it."""


def field_value(path: str, facts: PodFacts) -> str:
    """The value of a `fieldRef`."""
    pod = facts.pod
    simple = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
    }
    if path in simple:
        return simple[path]
    if path == "metadata.labels":
        return _lines(pod.metadata.labels)
    if path == "metadata.annotations":
        return _lines(pod.metadata.annotations)
    subscript = _SUBSCRIPT.match(path)
    if subscript is None:
        raise ConfigError(f"unsupported fieldPath: {path}")
    pairs = pod.metadata.labels if subscript[1] == "labels" else pod.metadata.annotations
    return pairs.get(subscript[2], "")


def _lines(pairs: dict[str, str]) -> str:
    """One `key="value"` a line, sorted, values quoted as Go's %q does."""
    return "\n".join(f"{key}={_quoted(pairs[key])}" for key in sorted(pairs))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


def resource_value(selector: ResourceFieldSelector, default_container: str, facts: PodFacts) -> str:
    """The value of a `resourceFieldRef`: the amount divided by the divisor, rounded up."""
    name = selector.container_name or default_container
    container = _find(facts.pod, name)
    parsed = RESOURCE.match(selector.resource)
    if parsed is None:
        raise ConfigError(f"unsupported container resource : {selector.resource}")
    kind, resource = parsed[1], parsed[2]
    amounts = container.resources.limits if kind == "limits" else container.resources.requests
    amount: Quantity = amounts.get(resource, facts.allocatable.get(resource, 0) if kind == "limits" else 0)
    divisor = Fraction(parse_quantity(selector.divisor or 0)) or Fraction(1)
    return str(math.ceil(Fraction(parse_quantity(amount)) / divisor))


def _find(pod: Pod, name: str) -> Container:
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        if container.name == name:
            return container
    raise ConfigError(f"container {name} not found")
