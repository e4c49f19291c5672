"""Which address of the node's pod CIDR belongs to which sandbox: pure allocation, and its file.

One file per node, rewritten whole and atomically; it survives the kubelet and is reconciled with the live sandboxes
at start. Addresses are given out round robin, so that one just released is not soon somebody else's.
"""

import ipaddress
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from node.network.base import NetworkError
from node.network.statefile import read_state, write_state


class Reservations(msgspec.Struct, frozen=True):
    """Sandbox id → address, and the address given out last."""

    cidr: str = ""
    by_sandbox: dict[str, str] = {}
    last: str = ""


def gateway_of(cidr: str) -> str:
    """The node's own address on the bridge: the first of the range."""
    return str(ipaddress.IPv4Network(cidr)[1])


def prefix_length(cidr: str) -> int:
    return ipaddress.IPv4Network(cidr).prefixlen


def next_free(cidr: str, taken: Collection[str], last: str) -> str:
    """The first free address after `last`, around the range; without network, gateway and broadcast addresses."""
    network = ipaddress.IPv4Network(cidr)
    first, size = int(network.network_address) + 2, network.num_addresses - 3
    start = int(ipaddress.IPv4Address(last)) - first + 1 if last and ipaddress.IPv4Address(last) in network else 0
    for offset in range(max(size, 0)):
        address = str(ipaddress.IPv4Address(first + (start + offset) % size))
        if address not in taken:
            return address
    raise NetworkError(f"no free address in {cidr}: {len(taken)} pods have one")


def reserve(state: Reservations, sandbox_id: str) -> Reservations:
    """Gives the sandbox an address; no change when it has one."""
    if sandbox_id in state.by_sandbox:
        return state
    address = next_free(state.cidr, set(state.by_sandbox.values()), state.last)
    return Reservations(state.cidr, state.by_sandbox | {sandbox_id: address}, address)


def release(state: Reservations, sandbox_ids: Iterable[str]) -> Reservations:
    gone = set(sandbox_ids)
    kept = {sandbox: address for sandbox, address in state.by_sandbox.items() if sandbox not in gone}
    return state if len(kept) == len(state.by_sandbox) else Reservations(state.cidr, kept, state.last)


def with_cidr(state: Reservations, cidr: str) -> Reservations:
    """Addresses outside a new range are forgotten: their pods are started anew."""
    network = ipaddress.IPv4Network(cidr)
    kept = {s: a for s, a in state.by_sandbox.items() if ipaddress.IPv4Address(a) in network}
    return Reservations(cidr, kept, state.last)


class IpamFile:
    """The reservations of this node, on disk after each change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state = read_state(path, Reservations) or Reservations()

    def save(self, state: Reservations) -> None:
        if state == self.state:
            return
        write_state(self._path, state)
        self.state = state
