"""Routes to the pods of other nodes ("host-gw"): each node's pod CIDR via that node's address. Pure plan, thin apply.

Our routes carry a protocol number of their own, so that nobody else's are ever touched.
"""

import ipaddress
from collections.abc import Mapping

from node.network import ip
from node.network.base import NetworkError

# Free in /etc/iproute2/rt_protos; `ip route show proto 84` lists what we made.
PROTOCOL = "84"


def plan_routes(current: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Lines for `ip -batch` that lead from `current` to `wanted`; removals first."""
    wanted = {canonical(cidr): via for cidr, via in wanted.items()}
    removed = [f"route del {cidr} via {via} proto {PROTOCOL}" for cidr, via in current.items() if cidr not in wanted]
    changed = [
        f"route replace {cidr} via {via} proto {PROTOCOL}" for cidr, via in wanted.items() if current.get(cidr) != via
    ]
    return sorted(removed) + sorted(changed)


def canonical(cidr: str) -> str:
    """As the kernel prints it: a single address has no length."""
    network = ipaddress.IPv4Network(cidr)
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


async def current_routes() -> dict[str, str]:
    found = await ip.query(["-4", "route", "show", "proto", PROTOCOL])
    return {str(each["dst"]): str(each.get("gateway", "")) for each in found}


async def sync_routes(wanted: Mapping[str, str]) -> None:
    """One bad route (a node outside this network) does not keep the others from being set."""
    lines = plan_routes(await current_routes(), wanted)
    complaints = await ip.batch_all(lines) if lines else []
    if complaints:
        raise NetworkError(f"routes to other nodes: {'; '.join(complaints)}")
