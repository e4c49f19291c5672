"""The scheduler's picture of the cluster: nodes, pods with a place, and pods *assumed* to have one.

A pod is assumed the moment it is decided, before the API has confirmed it, so that the next decision counts it.
The informer's word is final: once it shows the pod bound or gone, the assumption has done its work.
"""

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.scheduler.podinfo import PodInfo
from master.scheduler.table import NodeTable


class Cluster:
    """A `NodeTable` plus the knowledge of which pods in it are only assumed."""

    def __init__(self) -> None:
        self.table = NodeTable()
        self._assumed: dict[str, str] = {}

    def put_node(self, node: Node) -> None:
        self.table.put_node(node)

    def remove_node(self, name: str) -> None:
        self.table.remove_node(name)

    def assume(self, info: PodInfo, node_name: str) -> None:
        self._assumed[info.uid] = node_name
        self.table.add_pod(info, node_name)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def forget(self, info: PodInfo) -> None:
        """The binding failed: give the room back, unless the informer has confirmed it meanwhile."""
        if self._assumed.pop(info.uid, None) is not None:
            self.table.remove_pod(info.uid)

    def put_pod(self, pod: Pod) -> None:
        """The informer shows a bound pod."""
        self._assumed.pop(pod.metadata.uid, None)
        self.table.add_pod(PodInfo(pod), pod.spec.node_name)

    def remove_pod(self, pod: Pod) -> bool:
        """The informer shows that a pod is gone or finished; whether it held any room."""
        self._assumed.pop(pod.metadata.uid, None)
        held = self.table.node_of(pod.metadata.uid) is not None
        self.table.remove_pod(pod.metadata.uid)
        return held
