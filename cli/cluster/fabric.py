"""The network of a local cluster: one namespace a host, joined by a bridge in a namespace of its own.

The bridge is not in the root namespace because Docker's rules there drop forwarded traffic; in the fabric,
partitions and loss can be injected without touching the machine's own firewall.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from cli.cluster.layout import Host, Layout

COMMAND_TIMEOUT_S = 30
BRIDGE = "br0"
ROOT_PORT = "root"
NETNS_DIR = Path("/run/netns")


def exists(netns: str) -> bool:
    return (NETNS_DIR / netns).exists()


def create(layout: Layout) -> None:
    """Makes the fabric and the machine's leg into it, if they are missing."""
    if exists(layout.fabric_netns):
        return
    _batch(None, [f"netns add {layout.fabric_netns}"])
    commands = ["link set lo up", f"link add {BRIDGE} type bridge forward_delay 0", f"link set {BRIDGE} up"]
    _batch(layout.fabric_netns, commands)
    link = layout.root_link
    _batch(
        None,
        [
            f"link add {link} type veth peer name {ROOT_PORT} netns {layout.fabric_netns}",
            f"addr add {layout.gateway_address}/16 dev {link}",
            f"link set {link} up",
        ],
    )
    _batch(layout.fabric_netns, [f"link set {ROOT_PORT} master {BRIDGE} up"])
    in_netns(layout.fabric_netns, ["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"])


def plug(layout: Layout, host: Host) -> None:
    """Gives a host its namespace, its address and its port on the bridge, if it has none."""
    netns = layout.netns(host.name)
    if exists(netns):
        return
    _batch(
        None,
        [
            f"netns add {netns}",
            f"link add eth0 netns {netns} type veth peer name {host.name} netns {layout.fabric_netns}",
        ],
    )
    _batch(layout.fabric_netns, [f"link set {host.name} master {BRIDGE} up"])
    _batch(
        netns,
        [
            "link set lo up",
            f"addr add {host.address}/16 dev eth0",
            "link set eth0 up",
            f"route add default via {layout.gateway_address}",
        ],
    )


def unplug(layout: Layout, host: Host) -> None:
    """Takes a host off the network: its namespace, interfaces and rules vanish, as at a power cut."""
    if not exists(layout.netns(host.name)):
        return
    # The port goes first: the kernel takes a deleted namespace apart later, and until then its name would be taken.
    ports = _run(["ip", "-n", layout.fabric_netns, "-o", "link", "show"]) if exists(layout.fabric_netns) else ""
    if f" {host.name}@" in ports:
        _batch(layout.fabric_netns, [f"link del {host.name}"])
    _batch(None, [f"netns del {layout.netns(host.name)}"])


def destroy(layout: Layout) -> None:
    """Removes every namespace and link of this cluster."""
    prefix = f"{layout.prefix}-"
    known = {layout.netns(host.name) for host in layout.hosts} | {layout.fabric_netns}
    found = [path.name for path in NETNS_DIR.glob(f"{prefix}*")] if NETNS_DIR.exists() else []
    doomed = [name for name in found if name in known]
    if doomed:
        _batch(None, [f"netns del {name}" for name in doomed])
    if Path(f"/sys/class/net/{layout.root_link}").exists():
        _batch(None, [f"link del {layout.root_link}"])


def in_netns(netns: str, argv: Sequence[str]) -> str:
    """Runs a command inside a namespace. `nsenter`, not `ip netns exec`: the latter hides cgroups and mounts."""
    return _run(["nsenter", f"--net={NETNS_DIR / netns}", *argv])


def _batch(netns: str | None, commands: Sequence[str]) -> None:
    where = ["-n", netns] if netns else []
    _run(["ip", *where, "-batch", "-"], stdin="\n".join(commands) + "\n")


def _run(argv: Sequence[str], stdin: str | None = None) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
