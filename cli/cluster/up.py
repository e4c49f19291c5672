"""`timonier up`: from nothing (or from whatever a crash left) to a cluster that serves the sample.

Every step is idempotent; a running cluster is only completed. State survives `down` and comes back with `up`.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import yaml

from chaos import cgroups
from cli.cluster import certificates, check, fabric, hosts, report
from cli.cluster.images import load_image, write_sample_image
from cli.cluster.layout import Layout, save
from cli.cluster.progress import Progress, Step
from master.api.apps.deployment import Deployment
from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.core.service import Service
from master.api.status import ApiError, NotFound
from master.client.rest import RestClient

START_TIMEOUT_S = 60.0
NODE_TIMEOUT_S = 120.0
SAMPLE_TIMEOUT_S = 180.0
POLL_S = 0.2
FETCHES = 12
SAMPLE_NAME = "hello"
SAMPLE_NAMESPACE = "default"
SAMPLE_MANIFEST = Path(__file__).with_name("sample.yaml")


class UpError(Exception):
    """A step that did not succeed; the text says what to look at."""


def up(layout: Layout, progress: Progress, *, sample: bool = True) -> None:
    """Raises UpError with advice; leaves what runs running, so that it can be looked at."""
    with progress.step("Checking the machine"):
        _require(layout)
    with progress.step("Certificates and configuration"):
        _configure(layout)
    with progress.step(f"Network: {layout.masters} masters and {layout.nodes} nodes") as step:
        fabric.create(layout)
        step.note = layout.host_cidr
    with progress.step("Power on"):
        _power_on(layout)
    asyncio.run(_bring_up(layout, progress, sample))


def _require(layout: Layout) -> None:
    wrong = [f for f in check.findings(layout.engine) if not f.ok and not f.optional]
    if wrong:
        lines = [f"  {f.name}: {f.why}; {f.remedy}" for f in wrong]
        raise UpError("this machine lacks:\n" + "\n".join(lines))


def _configure(layout: Layout) -> None:
    save(layout)
    layout.home.chmod(0o700)
    certificates.issue_all(layout)
    certificates.write_kubeconfig(layout)
    for host in layout.hosts:
        hosts.write_configuration(layout, host)
    hosts.write_gateway(layout)


def _power_on(layout: Layout) -> None:
    for name in [hosts.GATEWAY, *(host.name for host in layout.hosts)]:
        cgroups.thaw(layout.cgroup(name))
        hosts.power_on(layout, name)


async def _bring_up(layout: Layout, progress: Progress, sample: bool) -> None:
    async with report.admin_client(layout) as client:
        with progress.step("Store elects a leader, API servers answer") as step:
            await _wait(lambda: _masters_ready(layout, step), START_TIMEOUT_S, f"see {layout.logs('master-1')}")
        with progress.step("Nodes register and become Ready") as step:
            await _wait(lambda: _nodes_ready(layout, client, step), NODE_TIMEOUT_S, f"see {layout.logs('node-1')}")
        if sample:
            with progress.step("Building the sample's image and loading it on every node") as step:
                archive = write_sample_image(layout)
                await asyncio.gather(*(load_image(layout, host.name, archive) for host in layout.node_hosts))
                step.note = "timonier/hello:1"
            with progress.step("Deploying the sample") as step:
                await _deploy(client)
                await _wait(lambda: _sample_ready(client, step), SAMPLE_TIMEOUT_S, "see `kubectl describe pods`")
            with progress.step("Fetching the Service's address") as step:
                step.note = await _show_service(layout, client)


async def _wait(condition: Callable[[], Awaitable[str]], timeout_s: float, advice: str) -> None:
    """Until the condition returns "" (done); its text says what is still missing."""
    deadline = time.monotonic() + timeout_s
    missing = "nothing answered"
    while True:
        try:
            missing = await asyncio.wait_for(condition(), max(1.0, deadline - time.monotonic()))
        except (ApiError, OSError, TimeoutError) as error:
            missing = str(error) or type(error).__name__
        if not missing:
            return
        if time.monotonic() > deadline:
            raise UpError(f"gave up after {timeout_s:.0f} s: {missing}; {advice}")
        await asyncio.sleep(POLL_S)


async def _masters_ready(layout: Layout, step: Step) -> str:
    found = await report.gather(layout)
    waiting = [master.name for master in found.masters if master.api != "ready"]
    step.note = f"leader {found.store_leader}"
    step.say(f"waiting for {', '.join(waiting)}")
    return f"no answer from {', '.join(waiting)}" if waiting else ""


async def _nodes_ready(layout: Layout, client: RestClient, step: Step) -> str:
    ready = {node.metadata.name for node in (await client.list(Node)).items if report.node_ready(node) == "True"}
    waiting = [host.name for host in layout.node_hosts if host.name not in ready]
    step.say(f"waiting for {', '.join(waiting)}")
    return f"not Ready: {', '.join(waiting)}" if waiting else ""


async def _deploy(client: RestClient) -> None:
    """Creates the sample's objects; what exists stays as its user left it."""
    kinds = {"Deployment": Deployment, "Service": Service}
    for tree in yaml.safe_load_all(SAMPLE_MANIFEST.read_text()):
        wanted = msgspec.convert(tree, kinds[tree["kind"]])
        wanted.metadata.namespace = SAMPLE_NAMESPACE
        try:
            await client.get(type(wanted), wanted.metadata.name, SAMPLE_NAMESPACE)
        except NotFound:
            await client.create(wanted)


async def _sample_ready(client: RestClient, step: Step) -> str:
    deployment = await client.get(Deployment, SAMPLE_NAME, SAMPLE_NAMESPACE)
    wanted = 1 if deployment.spec.replicas is None else deployment.spec.replicas
    available = deployment.status.available_replicas
    step.say(f"{available} of {wanted} pods available")
    current = deployment.status.observed_generation >= deployment.metadata.generation
    return "" if current and available >= wanted else f"{available} of {wanted} pods of the sample are available"


async def _show_service(layout: Layout, client: RestClient) -> str:
    """Fetches until two pods on different nodes have answered; returns a sentence about who answered."""
    service = await client.get(Service, SAMPLE_NAME, SAMPLE_NAMESPACE)
    pods = (await client.list(Pod, SAMPLE_NAMESPACE, label_selector=f"app={SAMPLE_NAME}")).items
    nodes = {pod.metadata.name: pod.spec.node_name for pod in pods}
    url = f"http://{service.spec.cluster_ip}/"
    deadline = time.monotonic() + START_TIMEOUT_S
    answered: set[str] = set()
    while True:
        bodies = await asyncio.to_thread(fetch_from_node, layout, layout.node_hosts[0].name, url, FETCHES)
        answered |= {body for body in bodies if body in nodes}
        where = {nodes[name] for name in answered}
        if len(where) >= min(2, len(set(nodes.values()))) and answered:
            return f"{url} answered by {len(answered)} pods on {', '.join(sorted(where))}"
        if time.monotonic() > deadline:
            raise UpError(f"{url} was answered by {sorted(answered) or 'nobody'}; see {layout.logs('node-1')}")
        await asyncio.sleep(POLL_S)


def fetch_from_node(layout: Layout, node: str, url: str, count: int) -> list[str]:
    """Bodies (or "" for a failure) of fresh requests made inside a node's namespace."""
    out = fabric.in_netns(layout.netns(node), [sys.executable, "-m", "cli.cluster.fetch", url, str(count)])
    return [json.loads(line).get("body", "") for line in out.splitlines()]


def show_kubectl_hint(layout: Layout) -> list[str]:
    """The two or three commands to try next, spelled so that they work where the user stands."""
    own = sys.argv[0]
    command = "timonier" if shutil.which("timonier") else os.path.relpath(own) if os.path.exists(own) else own
    return [
        f"export KUBECONFIG={layout.kubeconfig}",
        "kubectl get pods -o wide",
        f"{command} chaos kill node-2   # then watch: {command} get pods -w -o wide",
    ]


def down(layout: Layout, *, purge: bool) -> list[str]:
    """Stops everything and removes every trace; keeps the state unless `purge`. Returns what stayed behind."""
    hosts.shut_down(layout, [host.name for host in layout.hosts] + [hosts.GATEWAY])
    stayed = hosts.remove_traces(layout)
    if purge:
        subprocess.run(["rm", "-rf", "--one-file-system", str(layout.home)], check=True)
    return stayed
