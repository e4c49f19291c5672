"""What `timonier status` knows about a local cluster: gathered from supervisors, the store and the API.

Gathering never fails because a part is down: what does not answer is reported as such.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

import aiohttp
import msgspec

from chaos import cgroups
from cli.cluster import hosts
from cli.cluster.layout import Host, Layout
from master.api.coordination.lease import Lease
from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.status import ApiError
from master.client.config import ClientConfig
from master.client.rest import RestClient
from raftstore.client import StoreClient
from raftstore.errors import StoreError

PROBE_TIMEOUT_S = 2.0
LEADERS = {"kube-scheduler": "scheduler", "kube-controller-manager": "controllers"}


class MasterReport(msgspec.Struct):
    name: str
    address: str
    power: str
    api: str = "-"
    store: str = "-"
    term: int = 0
    revision: int = 0
    leads: list[str] = []
    restarts: int = 0


class NodeReport(msgspec.Struct):
    name: str
    address: str
    power: str
    ready: str = "Unknown"
    pods: int = 0
    pod_cidr: str = ""
    engine: str = ""
    restarts: int = 0


class PodReport(msgspec.Struct):
    namespace: str
    name: str
    phase: str
    ready: bool
    ip: str
    node: str


class ClusterReport(msgspec.Struct):
    """Everything `timonier status -o json` prints."""

    name: str
    running: bool
    store_leader: str
    masters: list[MasterReport]
    nodes: list[NodeReport]
    pods: list[PodReport]


def admin_config(layout: Layout) -> ClientConfig:
    """The administrator, talking to the masters directly."""
    return ClientConfig(
        servers=layout.api_servers,
        ca_file=str(layout.pki_dir / "ca.crt"),
        cert_file=str(layout.pki_dir / "admin.crt"),
        key_file=str(layout.pki_dir / "admin.key"),
    )


@contextlib.asynccontextmanager
async def admin_client(layout: Layout):  # type: ignore[no-untyped-def]
    client = RestClient(admin_config(layout), user_agent="timonier")
    try:
        yield client
    finally:
        await client.close()


async def gather(layout: Layout) -> ClusterReport:
    """One look at everything, each part with its own deadline."""
    masters = list(await asyncio.gather(*(_master(layout, host) for host in layout.master_hosts)))
    nodes = [_node(layout, host) for host in layout.node_hosts]
    pods: list[PodReport] = []
    if any(master.api == "ready" for master in masters):
        with contextlib.suppress(ApiError, TimeoutError, OSError):
            pods = await asyncio.wait_for(_from_api(layout, masters, nodes), PROBE_TIMEOUT_S * 3)
    leader = next((m.name for m in masters if m.store == "leader"), "")
    running = any(m.power == "on" for m in masters)
    return ClusterReport(layout.name, running, leader, masters, nodes, pods)


async def _master(layout: Layout, host: Host) -> MasterReport:
    report = MasterReport(host.name, host.address, *_power(layout, host))
    if report.power == "on":
        await asyncio.gather(_ask_api(layout, host, report), _ask_store(layout, host, report))
    return report


def _node(layout: Layout, host: Host) -> NodeReport:
    power, restarts = _power_and_restarts(layout, host)
    return NodeReport(host.name, host.address, power, restarts=restarts)


def _power(layout: Layout, host: Host) -> tuple[str]:
    return (_power_and_restarts(layout, host)[0],)


def _power_and_restarts(layout: Layout, host: Host) -> tuple[str, int]:
    state = hosts.state_of(layout, host.name)
    if state is None:
        return "off", 0
    restarts = sum(process.restarts for process in state.processes)
    return ("paused" if cgroups.is_frozen(layout.cgroup(host.name)) else "on"), restarts


async def _ask_api(layout: Layout, host: Host, report: MasterReport) -> None:
    """`ready` when this master's own API server says so."""
    context = ssl.create_default_context(cafile=str(layout.pki_dir / "ca.crt"))
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"https://{host.address}:6443/readyz", ssl=context) as answer,
        ):
            report.api = "ready" if answer.status == 200 else "not ready"
    except (aiohttp.ClientError, TimeoutError, OSError):
        report.api = "no answer"


async def _ask_store(layout: Layout, host: Host, report: MasterReport) -> None:
    client = StoreClient([f"unix:{layout.store_socket(host.name)}"], timeout_s=PROBE_TIMEOUT_S)
    try:
        status = await asyncio.wait_for(client.status(), PROBE_TIMEOUT_S)
        report.store, report.term, report.revision = status.role, status.term, status.revision
    except (StoreError, TimeoutError, OSError):
        report.store = "no answer"
    finally:
        await client.close()


async def _from_api(layout: Layout, masters: Sequence[MasterReport], nodes: Sequence[NodeReport]) -> list[PodReport]:
    """Fills in what the API knows; returns the pods."""
    async with admin_client(layout) as client:
        leases = await client.list(Lease, "kube-system")
        node_list = await client.list(Node)
        pod_list = await client.list(Pod)
    by_master = {master.name: master for master in masters}
    for lease in leases.items:
        role = LEADERS.get(lease.metadata.name)
        holder = (lease.spec.holder_identity if lease.spec else "") or ""
        if role and (master := by_master.get(holder.rsplit("_", 1)[0])):
            master.leads.append(role)
    found = {node.metadata.name: node for node in node_list.items}
    for report in nodes:
        if node := found.get(report.name):
            report.ready = node_ready(node)
            report.pod_cidr = node.spec.pod_cidr
            report.engine = node.status.node_info.container_runtime_version if node.status.node_info else ""
        report.pods = sum(pod.spec.node_name == report.name for pod in pod_list.items)
    return [pod_report(pod) for pod in pod_list.items]


def node_ready(node: Node) -> str:
    """True, False or Unknown."""
    return next((c.status for c in node.status.conditions if c.type == "Ready"), "Unknown")


def pod_ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def pod_report(pod: Pod) -> PodReport:
    phase = "Terminating" if pod.metadata.deletion_timestamp else pod.status.phase
    meta = pod.metadata
    return PodReport(meta.namespace, meta.name, phase, pod_ready(pod), pod.status.pod_ip, pod.spec.node_name)
