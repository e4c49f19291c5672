"""What a node's network needs once, whichever plugin attaches the pods: forwarding, and masquerade at the edge.

Traffic between pods keeps its addresses; what leaves the cluster's range goes out as the node. The rule stands in a
chain of our own that is rewritten in one transaction. Only here and for host ports is the iptables command used; the
many rules of services are the proxy's affair, through libiptc in the same (legacy) tables.
"""

import contextlib
import shutil
from pathlib import Path

from node.network import ip
from node.network.base import NetworkError

CHAIN = "TIMONIER-POD-MASQ"
PROC = Path("/proc/sys/net")
# Bridged frames must pass iptables, or a pod that reaches its neighbour by a service address gets answers from
# an address it never spoke to.
SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "bridge/bridge-nf-call-iptables": "1",
}
JUMP = ("POSTROUTING", "-m", "comment", "--comment", "pods to the outside", "-j", CHAIN)


def masquerade_rules(pod_cidr: str, cluster_cidr: str) -> str:
    """Text for `iptables-restore --noflush`: makes the chain, or empties and refills it."""
    rule = f"-s {pod_cidr} ! -d {cluster_cidr} -m addrtype ! --dst-type LOCAL -j MASQUERADE"
    return f"*nat\n:{CHAIN} - [0:0]\n-A {CHAIN} {rule}\nCOMMIT\n"


def write_sysctls(settings: dict[str, str]) -> None:
    """In the namespace of this process: /proc/sys/net follows the caller."""
    for name, value in settings.items():
        path = PROC / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            raise NetworkError(f"cannot set net/{name} to {value}: {error.strerror}") from error


async def set_up_host(pod_cidr: str, cluster_cidr: str) -> None:
    if not (PROC / "bridge").exists():
        with contextlib.suppress(NetworkError):  # a module on most machines, and loaded by nobody else
            await ip.run_raw(["modprobe", "br_netfilter"])
    write_sysctls(SYSCTLS)
    await ip.run([iptables_restore(), "-w", "--noflush"], text=masquerade_rules(pod_cidr, cluster_cidr))
    code, _, _ = await ip.run_raw([iptables(), "-w", "-t", "nat", "-C", *JUMP])
    if code != 0:
        await ip.run([iptables(), "-w", "-t", "nat", "-A", *JUMP])


async def tear_down_host() -> None:
    for rule in (["-D", *JUMP], ["-F", CHAIN], ["-X", CHAIN]):
        await ip.run_raw([iptables(), "-w", "-t", "nat", *rule])


def iptables() -> str:
    return _tool("iptables-legacy", "iptables")


def iptables_restore() -> str:
    return _tool("iptables-legacy-restore", "iptables-restore")


def _tool(preferred: str, otherwise: str) -> str:
    """Legacy tables where they exist, as the proxy writes them; else whatever the machine has."""
    return preferred if shutil.which(preferred) else otherwise
