"""Ports of the node that a pod asks for: which it holds, whether two pods collide, what leads into it. Pure."""

from collections.abc import Iterable

from master.api.core.pod import Pod
from node.network.hostports import ANY, PortMapping
from node.restarts import is_sidecar


def port_mappings(pod: Pod) -> list[PortMapping]:
    """What must lead from the node into the pod. A pod on the node's network listens there itself."""
    return [] if pod.spec.host_network else held_ports(pod)


def held_ports(pod: Pod) -> list[PortMapping]:
    """A pod on the node's network holds its container ports there."""
    found: list[PortMapping] = []
    sidecars = [container for container in pod.spec.init_containers if is_sidecar(container)]
    for container in (*pod.spec.containers, *sidecars):
        for port in container.ports:
            number = port.host_port or (port.container_port if pod.spec.host_network else 0)
            if number:
                found.append(PortMapping(port.protocol or "TCP", port.host_ip, number, port.container_port))
    return found


def collide(wanted: Iterable[PortMapping], taken: Iterable[PortMapping]) -> bool:
    """Different addresses of the node, or different protocols, may share a number."""
    others = list(taken)
    return any(
        (one.protocol, one.host_port) == (other.protocol, other.host_port)
        and (one.host_ip == other.host_ip or one.host_ip in ANY or other.host_ip in ANY)
        for one in wanted
        for other in others
    )
