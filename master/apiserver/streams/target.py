"""Which pod, container and kubelet a log, exec or attach is about, and the refusals before anything flows."""

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.scheme import SCHEME
from master.api.status import ApiError, BadRequest, InternalError
from master.apiserver.context import Context
from master.apiserver.handlers.read import read_entry
from master.apiserver.kubelet_client import Kubelet

DEFAULT_KUBELET_PORT = 10250
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")
"""Where a kubelet is looked for, in this order."""


async def find_pod(context: Context, namespace: str, name: str) -> Pod:
    entry = await read_entry(context, SCHEME.by_struct(Pod), namespace, name)
    pod: Pod = entry.info.decode(entry.data)
    return pod


def container_of(pod: Pod, wanted: str) -> str:
    """The container asked for, or the only one there is."""
    names = [container.name for container in pod.spec.containers]
    inits = [container.name for container in pod.spec.init_containers]
    ephemeral = [container.name for container in pod.spec.ephemeral_containers]
    pod_name = pod.metadata.name
    if wanted:
        if wanted not in (*names, *inits, *ephemeral):
            raise BadRequest(f"container {wanted} is not valid for pod {pod_name}")
        return wanted
    if len(names) == 1:
        return names[0]
    more = f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
    raise BadRequest(f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]{more}")


async def kubelet_of(context: Context, pod: Pod) -> Kubelet:
    """Where the kubelet of the pod's node listens."""
    name = pod.spec.node_name
    if not name:
        raise BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
    try:
        entry = await read_entry(context, SCHEME.by_struct(Node), "", name)
    except ApiError as error:
        raise InternalError.of(f"the pod's node: {error.message}") from error
    node: Node = entry.info.decode(entry.data)
    addresses = {address.type: address.address for address in reversed(node.status.addresses)}
    host = next((addresses[kind] for kind in ADDRESS_TYPES if kind in addresses), "")
    if not host:
        raise InternalError.of(f"node {name} has no address")
    endpoint = node.status.daemon_endpoints.kubelet_endpoint
    return Kubelet(host, endpoint.port or DEFAULT_KUBELET_PORT)
