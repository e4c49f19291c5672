"""The plugins of the default profile, in the order in which they are asked (cheap and static ones first)."""

from master.scheduler.framework import Framework
from master.scheduler.plugins.node_affinity import NodeAffinity
from master.scheduler.plugins.node_name import NodeName
from master.scheduler.plugins.node_ports import NodePorts
from master.scheduler.plugins.node_resources_balanced_allocation import NodeResourcesBalancedAllocation
from master.scheduler.plugins.node_resources_fit import NodeResourcesFit
from master.scheduler.plugins.node_unschedulable import NodeUnschedulable
from master.scheduler.plugins.pod_topology_spread import PodTopologySpread
from master.scheduler.plugins.taint_toleration import TaintToleration


def default_framework() -> Framework:
    taints, affinity, fit, spread = TaintToleration(), NodeAffinity(), NodeResourcesFit(), PodTopologySpread()
    return Framework(
        filters=[NodeUnschedulable(), NodeName(), taints, affinity, NodePorts(), fit, spread],
        scores=[taints, affinity, fit, spread, NodeResourcesBalancedAllocation()],
    )
