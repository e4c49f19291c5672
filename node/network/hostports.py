"""Ports of this node that lead into its pods (`hostPort`): which there are, in a file, and their iptables rules.

The chains are rewritten whole, in one transaction, whenever the set changes; the file lets the next kubelet keep what
runs and drop what does not. A port is reachable from outside, from pods, and from the node itself on loopback; for
the latter the pods' interface may carry loopback addresses, so packets from elsewhere that claim one are dropped.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from node.network import hostsetup, ip
from node.network.base import NetworkError
from node.network.statefile import read_state, write_state

PORTS_CHAIN = "TIMONIER-HOSTPORTS"
MASQ_CHAIN = "TIMONIER-HOSTPORT-MASQ"
GUARD_CHAIN = "TIMONIER-LOOPBACK"
LOOPBACK = "127.0.0.0/8"
PROTOCOLS = ("tcp", "udp", "sctp")
ANY = ("", "0.0.0.0")
LOCAL = ("-m", "addrtype", "--dst-type", "LOCAL")
FOREIGN = ("!", "-i", "lo", "-d", LOOPBACK, "-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED,DNAT")
JUMPS = (
    ("nat", "PREROUTING", *LOCAL, "-j", PORTS_CHAIN),
    ("nat", "OUTPUT", *LOCAL, "-j", PORTS_CHAIN),
    ("nat", "POSTROUTING", "-j", MASQ_CHAIN),
    ("filter", "INPUT", *FOREIGN, "-j", GUARD_CHAIN),
)


class PortMapping(msgspec.Struct, frozen=True):
    """`host_ip` empty: any address of the node."""

    protocol: str
    host_ip: str
    host_port: int
    container_port: int


class Published(msgspec.Struct, frozen=True):
    """What leads to one sandbox."""

    address: str
    ports: list[PortMapping]


def restore_text(published: Mapping[str, Published]) -> str:
    """For `iptables-restore --noflush`: makes the chains, or empties and refills them."""
    forward, masquerade = [], list[str]()
    pairs = [(each.address, port) for _, each in sorted(published.items()) for port in each.ports]
    for address, port in sorted(pairs, key=lambda pair: pair[1].host_ip in ANY):  # the more exact ones first
        protocol = port.protocol.lower()
        if protocol not in PROTOCOLS or ":" in port.host_ip:
            continue
        where = "" if port.host_ip in ANY else f" -d {port.host_ip}/32"
        target = f"-p {protocol} -m {protocol} --dport"
        goal = f"{address}:{port.container_port}"
        forward.append(f"-A {PORTS_CHAIN}{where} {target} {port.host_port} -j DNAT --to-destination {goal}")
        # The pod must not see itself, or the node's loopback, as the sender: its answers would go astray.
        masquerade += [
            f"-A {MASQ_CHAIN} -s {source} -d {address}/32 {target} {port.container_port} -j MASQUERADE"
            for source in (f"{address}/32", LOOPBACK)
        ]
    nat = ["*nat", f":{PORTS_CHAIN} - [0:0]", f":{MASQ_CHAIN} - [0:0]", *forward, *dict.fromkeys(masquerade), "COMMIT"]
    guard = ["*filter", f":{GUARD_CHAIN} - [0:0]", f"-A {GUARD_CHAIN} -j DROP", "COMMIT"]
    return "\n".join([*nat, *guard, ""])


class HostPorts:
    """Verbs are idempotent and raise `NetworkError`; to be used inside the node's network namespace."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "hostports.json"
        remembered = read_state(self._path, dict[str, Published])
        self._is_fresh = remembered is None
        self._published = remembered or {}
        self._is_joined = False
        self._lock = asyncio.Lock()

    async def reconcile(self, live_sandbox_ids: Iterable[str]) -> None:
        """At the start: what leads to sandboxes that are gone is dropped, the rest is in force."""
        live = set(live_sandbox_ids)
        async with self._lock:
            if not self._is_fresh:
                await self._apply({id: each for id, each in self._published.items() if id in live})

    async def publish(self, sandbox_id: str, address: str, ports: list[PortMapping]) -> None:
        wanted = Published(address, ports)
        async with self._lock:
            if ports and self._published.get(sandbox_id) != wanted:
                await _admit_loopback(address)
                await self._apply(self._published | {sandbox_id: wanted})

    async def withdraw(self, sandbox_id: str) -> None:
        async with self._lock:
            if sandbox_id in self._published:
                await self._apply({id: each for id, each in self._published.items() if id != sandbox_id})

    async def teardown(self) -> None:
        for table, *jump in JUMPS:
            await ip.run_raw([hostsetup.iptables(), "-w", "-t", table, "-D", *jump])
        for table, chain in (("nat", PORTS_CHAIN), ("nat", MASQ_CHAIN), ("filter", GUARD_CHAIN)):
            await ip.run_raw([hostsetup.iptables(), "-w", "-t", table, "-F", chain])
            await ip.run_raw([hostsetup.iptables(), "-w", "-t", table, "-X", chain])

    async def _apply(self, published: dict[str, Published]) -> None:
        """On disk first: rules that the file does not know would never go."""
        write_state(self._path, published)
        self._is_fresh = False
        await ip.run([hostsetup.iptables_restore(), "-w", "--noflush"], text=restore_text(published))
        if not self._is_joined:
            for table, *jump in JUMPS:
                await _join(table, jump)
            self._is_joined = True
        self._published = published


async def _join(table: str, jump: list[str]) -> None:
    code, _, _ = await ip.run_raw([hostsetup.iptables(), "-w", "-t", table, "-C", *jump])
    if code != 0:
        await ip.run([hostsetup.iptables(), "-w", "-t", table, "-A", *jump])


async def _admit_loopback(address: str) -> None:
    """The interface that leads to the pods may carry the node's loopback addresses (guarded: see above)."""
    routes = await ip.query(["route", "get", address])
    device = str(routes[0].get("dev", "")) if routes else ""
    if not device:
        raise NetworkError(f"no route leads to {address}")
    hostsetup.write_sysctls({f"ipv4/conf/{device}/route_localnet": "1"})
