"""Faults of the network between hosts, made in the fabric: the hosts themselves see only that answers stop.

Each rule fault is one chain named after what it does, so that any later process can find and remove it.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from typing import Literal

from chaos.fabric import NETNS_DIR, Fabric, find_host

CHAIN_PREFIX = "CHAOS-"
COMMAND_TIMEOUT_S = 20.0
LOCK_WAIT_S = "10"
Direction = Literal["both", "to", "from"]


class CablePulled:
    """The host's port on the bridge goes down: the host keeps its addresses and routes, and reaches nobody."""

    def __init__(self, fabric: Fabric, host: str) -> None:
        self._fabric, self._host = fabric, find_host(fabric, host)

    @property
    def name(self) -> str:
        return f"unplug {self._host.name}"

    def arm(self) -> None:
        self._set("down")

    def disarm(self) -> None:
        self._set("up")

    def is_armed(self) -> bool:
        flags = self._flags()
        return flags is not None and "UP" not in flags

    def describe(self) -> str:
        return f"the cable of {self._host.name} is pulled"

    def _set(self, state: str) -> None:
        """A port that is not there is as good as down: the host is off."""
        if self._flags() is not None:
            _run(["ip", "-n", self._fabric.netns, "link", "set", self._host.name, state])

    def _flags(self) -> list[str] | None:
        """The port's flags; None when there is no port."""
        for line in _run(["ip", "-n", self._fabric.netns, "-o", "link", "show"]).splitlines():
            name, _, rest = line.partition(": ")[2].partition(": ")
            if name.split("@")[0] == self._host.name:
                return rest[rest.index("<") + 1 : rest.index(">")].split(",")
        return None


class _RuleFault:
    """A chain of rules in the fabric's FORWARD path; bridged packets pass it (bridge-nf-call-iptables)."""

    def __init__(self, fabric: Fabric, name: str, rules: Sequence[str]) -> None:
        self._fabric, self._name, self._rules = fabric, name, rules
        self.chain = CHAIN_PREFIX + hashlib.sha256(name.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        return self._name

    def arm(self) -> None:
        self.disarm()
        lines = ["*filter", f":{self.chain} - [0:0]", *(f"-A {self.chain} {rule}" for rule in self._rules)]
        lines += [f"-I FORWARD 1 -j {self.chain}", "COMMIT", ""]
        _in_fabric(self._fabric, [_legacy("iptables-restore"), "-w", LOCK_WAIT_S, "--noflush"], "\n".join(lines))

    def disarm(self) -> None:
        _remove_chains(self._fabric, [self.chain])

    def is_armed(self) -> bool:
        return self.chain in _armed_chains(self._fabric)


class Isolation(_RuleFault):
    """One host is cut off from all others and from the machine; `to` and `from` block one way only."""

    def __init__(self, fabric: Fabric, host: str, direction: Direction = "both") -> None:
        self._host, self._direction = find_host(fabric, host), direction
        rules = []
        if direction in ("both", "to"):
            rules.append(f"-m physdev --physdev-is-bridged --physdev-out {self._host.name} -j DROP")
        if direction in ("both", "from"):
            rules.append(f"-m physdev --physdev-is-bridged --physdev-in {self._host.name} -j DROP")
        super().__init__(fabric, f"isolate {self._host.name} {direction}", rules)

    def describe(self) -> str:
        what = {"both": "no packet passes", "to": "no packet reaches it", "from": "no packet of its own gets out"}
        return f"{self._host.name} is isolated: {what[self._direction]}"


class Partition(_RuleFault):
    """Two groups of hosts do not reach each other; `one_way` lets packets from B to A pass."""

    def __init__(
        self, fabric: Fabric, group_a: Iterable[str], group_b: Iterable[str], *, one_way: bool = False
    ) -> None:
        self._a = sorted(find_host(fabric, name).name for name in group_a)
        self._b = sorted(find_host(fabric, name).name for name in group_b)
        self._one_way = one_way
        if set(self._a) & set(self._b):
            raise ValueError(f"{sorted(set(self._a) & set(self._b))} would be on both sides of the partition")
        pairs = [(a, b) for a in self._a for b in self._b]
        pairs += [] if one_way else [(b, a) for a, b in pairs]
        rules = [f"-m physdev --physdev-is-bridged --physdev-in {x} --physdev-out {y} -j DROP" for x, y in pairs]
        super().__init__(fabric, f"partition {self._sides()}", rules)

    def _sides(self) -> str:
        return f"{','.join(self._a)} {'->' if self._one_way else '|'} {','.join(self._b)}"

    def describe(self) -> str:
        if self._one_way:
            return f"no packet passes from {', '.join(self._a)} to {', '.join(self._b)}"
        return f"no packet passes between {', '.join(self._a)} and {', '.join(self._b)}"


class Loss(_RuleFault):
    """A share of the packets from and to a host is lost."""

    def __init__(self, fabric: Fabric, host: str, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share: {share} is not above 0 and at most 1")
        self._host, self._share = find_host(fabric, host), share
        drop = f"-m statistic --mode random --probability {share:.6f} -j DROP"
        rules = [f"-m physdev --physdev-is-bridged --physdev-{way} {self._host.name} {drop}" for way in ("in", "out")]
        super().__init__(fabric, f"loss {self._host.name}", rules)

    def describe(self) -> str:
        return f"{self._share:.0%} of the packets from and to {self._host.name} are lost"


def heal(fabric: Fabric, host: str = "") -> list[str]:
    """Undo network faults that any process armed: all of them, or those of one host (isolation, loss, cable).

    Returns what was undone."""
    doomed = [Isolation(fabric, host, way) for way in ("both", "to", "from")] if host else []
    chains = {fault.chain: fault.name for fault in [*doomed, *([Loss(fabric, host, 1)] if host else [])]}
    armed = _armed_chains(fabric)
    found = [chain for chain in armed if not host or chain in chains]
    _remove_chains(fabric, found)
    undone = [chains.get(chain, chain) for chain in found]
    for cable in (CablePulled(fabric, h.name) for h in fabric.hosts if not host or h.name == host):
        if cable.is_armed():
            cable.disarm()
            undone.append(cable.name)
    return undone


def _armed_chains(fabric: Fabric) -> list[str]:
    saved = _in_fabric(fabric, [_legacy("iptables-save"), "-t", "filter"])
    names = [line[1:].split()[0] for line in saved.splitlines() if line.startswith(":")]
    return [name for name in names if name.startswith(CHAIN_PREFIX)]


def _remove_chains(fabric: Fabric, chains: Iterable[str]) -> None:
    """In one transaction: the jump, then the rules, then the chain."""
    present = set(_armed_chains(fabric)).intersection(chains)
    if not present:
        return
    saved = _in_fabric(fabric, [_legacy("iptables-save"), "-t", "filter"]).splitlines()
    jumps = [chain for chain in present if f"-A FORWARD -j {chain}" in saved]
    lines = ["*filter", *(f":{chain} - [0:0]" for chain in present)]
    lines += [f"-D FORWARD -j {chain}" for chain in jumps] + [f"-X {chain}" for chain in present]
    text = "\n".join([*lines, "COMMIT", ""])
    _in_fabric(fabric, [_legacy("iptables-restore"), "-w", LOCK_WAIT_S, "--noflush"], text)


def _legacy(command: str) -> str:
    """The legacy variant where the system has both; rules of either count."""
    legacy = command.replace("iptables", "iptables-legacy")
    return legacy if shutil.which(legacy) else command


def _in_fabric(fabric: Fabric, command: list[str], text: str = "") -> str:
    return _run(["nsenter", f"--net={NETNS_DIR / fabric.netns}", *command], text)


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
