"""The built-in pod network: a bridge in the node's namespace, one veth pair per sandbox, routes to other nodes.

    pod eth0 ── veth… ─┐
    pod eth0 ── veth… ─┴─ cni0 (gateway, x.x.x.1) ── routing ── eth0 ── other nodes, by their pod CIDR

A sandbox's veth has a name that follows from its id, so that it is found again without any record.
Hairpin is on: a pod may reach itself through its own service.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from node.engine.base import SandboxState
from node.network import hostsetup, ip, ipam, routes
from node.network.base import NetworkError, NetworkNotReady, PodNetwork

BRIDGE = "cni0"
INTERFACE = "eth0"
DEFAULT_MTU = 1500
VETH_PREFIX = "veth"


def veth_name(sandbox_id: str) -> str:
    """At most 15 characters, as the kernel demands."""
    return VETH_PREFIX + hashlib.sha256(sandbox_id.encode()).hexdigest()[:11]


def host_lines(veth: str, bridge: str, pid: int, mtu: int) -> list[str]:
    """In the node's namespace: make the pair with its far end in the sandbox, plug the near end in."""
    return [
        f"link add {veth} mtu {mtu} type veth peer name {INTERFACE} mtu {mtu} netns {pid}",
        f"link set {veth} master {bridge}",
        f"link set {veth} type bridge_slave hairpin on",
        f"link set {veth} up",
    ]


def pod_lines(address: str, cidr: str) -> list[str]:
    """In the sandbox's namespace."""
    return [
        "link set lo up",
        f"addr add {address}/{ipam.prefix_length(cidr)} dev {INTERFACE}",
        f"link set {INTERFACE} up",
        f"route add default via {ipam.gateway_of(cidr)}",
    ]


class BridgeNetwork:
    """`Network` without any plugin."""

    kind = "bridge"

    def __init__(self, state_dir: Path, cluster_cidr: str, *, bridge: str = BRIDGE, mtu: int = DEFAULT_MTU) -> None:
        self._cluster_cidr = cluster_cidr
        self._bridge = bridge
        self._mtu = mtu
        self._ipam = ipam.IpamFile(state_dir / "ipam.json")
        self._ready = False
        self._lock = asyncio.Lock()

    async def setup(self, pod_cidr: str) -> None:
        async with self._lock:
            self._ipam.save(ipam.with_cidr(self._ipam.state, pod_cidr))
            if not await ip.query(["link", "show", "dev", self._bridge]):
                await ip.batch([f"link add {self._bridge} mtu {self._mtu} type bridge forward_delay 0"])
            await self._address_bridge(pod_cidr)
            await hostsetup.set_up_host(pod_cidr, self._cluster_cidr)
            hostsetup.write_sysctls({f"ipv4/conf/{self._bridge}/rp_filter": "0"})
            self._ready = True

    async def attach(self, sandbox: SandboxState) -> PodNetwork:
        if not self._ready:
            raise NetworkNotReady("the node has no pod CIDR yet")
        if not sandbox.netns:
            raise NetworkError(f"sandbox {sandbox.id[:12]} has no network namespace of its own to attach to")
        async with self._lock:
            is_known = sandbox.id in self._ipam.state.by_sandbox
            self._ipam.save(ipam.reserve(self._ipam.state, sandbox.id))
        if not (is_known and await self._is_attached(sandbox)):
            try:
                await self._connect(sandbox, again=is_known)
            except NetworkError:
                await self._disconnect(sandbox.id)
                raise
        return PodNetwork(self._address(sandbox), ipam.gateway_of(self._ipam.state.cidr), INTERFACE)

    async def detach(self, sandbox_id: str) -> None:
        await self._disconnect(sandbox_id)

    async def sync_routes(self, routes_: Mapping[str, str]) -> None:
        own = self._ipam.state.cidr
        await routes.sync_routes({cidr: via for cidr, via in routes_.items() if cidr != own})

    async def reconcile(self, live_sandbox_ids: Iterable[str]) -> None:
        live = set(live_sandbox_ids)
        async with self._lock:
            self._ipam.save(ipam.release(self._ipam.state, set(self._ipam.state.by_sandbox) - live))
        plugged = await ip.query(["link", "show", "master", self._bridge, "type", "veth"])
        wanted = {veth_name(sandbox_id) for sandbox_id in live}
        lines = [f"link del {each['ifname']}" for each in plugged if each["ifname"] not in wanted]
        if lines:
            await ip.batch_all(lines)

    async def teardown(self) -> None:
        await self.reconcile(())
        await routes.sync_routes({})
        await hostsetup.tear_down_host()
        await ip.batch_all([f"link del {self._bridge}"])
        self._ready = False

    async def _address_bridge(self, pod_cidr: str) -> None:
        """Exactly the gateway's address: a former pod CIDR must not stay behind."""
        wanted = f"{ipam.gateway_of(pod_cidr)}/{ipam.prefix_length(pod_cidr)}"
        shown = await ip.query(["-4", "addr", "show", "dev", self._bridge])
        present = {f"{each['local']}/{each['prefixlen']}" for link in shown for each in link.get("addr_info", [])}
        lines = [f"addr del {address} dev {self._bridge}" for address in sorted(present - {wanted})]
        lines += [] if wanted in present else [f"addr add {wanted} brd + dev {self._bridge}"]
        await ip.batch([*lines, f"link set {self._bridge} up"])

    async def _connect(self, sandbox: SandboxState, *, again: bool) -> None:
        veth = veth_name(sandbox.id)
        if again:  # an attempt that was cut short may have left half a pair
            await ip.run_raw(["ip", "link", "del", veth])
        await ip.batch(host_lines(veth, self._bridge, sandbox.pid, self._mtu))
        await ip.batch(pod_lines(self._address(sandbox), self._ipam.state.cidr), netns=sandbox.netns)

    async def _disconnect(self, sandbox_id: str) -> None:
        await ip.run_raw(["ip", "link", "del", veth_name(sandbox_id)])
        async with self._lock:
            self._ipam.save(ipam.release(self._ipam.state, [sandbox_id]))

    async def _is_attached(self, sandbox: SandboxState) -> bool:
        shown = await ip.query(["-4", "addr", "show", "dev", INTERFACE], netns=sandbox.netns)
        return any(each["local"] == self._address(sandbox) for link in shown for each in link.get("addr_info", []))

    def _address(self, sandbox: SandboxState) -> str:
        return self._ipam.state.by_sandbox[sandbox.id]
