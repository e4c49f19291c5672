"""`timonier chaos`: faults for the hosts of the local cluster, at once; and whole scenarios with a verdict."""

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from chaos.cgroups import CgroupStuck
from chaos.fabric import UnknownHost, find_host
from chaos.faults import network
from chaos.faults.host import HostKill, HostPause
from chaos.faults.network import Isolation
from chaos.report import Verdict, to_json, to_text
from chaos.scenarios.catalogue import SCENARIOS
from chaos.scenarios.kill_node_under_load import ScenarioFailed
from cli.cluster.faultfabric import LocalFabric
from cli.cluster.layout import DEFAULT_NAME, Layout
from cli.cluster.options import CLUSTER, OUTPUT, fail, load_layout
from cli.cluster.report import admin_config
from master.api.status import ApiError

HOST = Annotated[str, typer.Argument(help="master-1, node-2, …")]

chaos_app = typer.Typer(
    help="Break the local cluster on purpose: each fault acts at once and returns.", no_args_is_help=True
)


def _act(cluster: str, host: str, done: str, act: Callable[[LocalFabric], object]) -> None:
    fabric = LocalFabric(load_layout(cluster))
    try:
        find_host(fabric, host)
    except UnknownHost as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        act(fabric)
    except (OSError, RuntimeError, CgroupStuck) as error:
        fail(f"{host}: {error}")
    print(f"{host} {done}")


@chaos_app.command()
def kill(host: HOST, cluster: CLUSTER = DEFAULT_NAME) -> None:
    """Cut a host's power: every process and container of it ends at once, its network goes dark."""
    _act(cluster, host, "killed", lambda fabric: HostKill(fabric, host).arm())


@chaos_app.command()
def start(host: HOST, cluster: CLUSTER = DEFAULT_NAME) -> None:
    """Power a killed host on again."""
    _act(cluster, host, "started", lambda fabric: HostKill(fabric, host).disarm())


@chaos_app.command()
def pause(host: HOST, cluster: CLUSTER = DEFAULT_NAME) -> None:
    """Freeze every process and container of a host."""
    _act(cluster, host, "paused", lambda fabric: HostPause(fabric, host).arm())


@chaos_app.command()
def resume(host: HOST, cluster: CLUSTER = DEFAULT_NAME) -> None:
    """Let a paused host go on."""
    _act(cluster, host, "resumed", lambda fabric: HostPause(fabric, host).disarm())


@chaos_app.command()
def isolate(host: HOST, cluster: CLUSTER = DEFAULT_NAME) -> None:
    """Cut a host off from all others: no packet from or to it passes."""
    _act(cluster, host, "isolated", lambda fabric: Isolation(fabric, host).arm())


@chaos_app.command()
def heal(host: HOST, cluster: CLUSTER = DEFAULT_NAME) -> None:
    """Undo every network fault of a host."""
    _act(cluster, host, "healed", lambda fabric: network.heal(fabric, host))


@chaos_app.command("run")
def run(
    scenario: Annotated[str, typer.Argument(help=f"One of: {', '.join(SCENARIOS)}.")],
    cluster: CLUSTER = DEFAULT_NAME,
    output: OUTPUT = "table",
) -> None:
    """Run a scenario against the cluster and print its verdict (exit code 1 when it fails)."""
    layout = load_layout(cluster)
    if scenario not in SCENARIOS:
        print(f"error: no scenario {scenario!r}; scenarios are {', '.join(SCENARIOS)}", file=sys.stderr)
        raise typer.Exit(2)
    try:
        verdict = asyncio.run(_play(scenario, layout))
    except (ScenarioFailed, ApiError, OSError, CgroupStuck) as error:
        fail(f"{scenario} could not be played: {error}")
    print(to_json(verdict) if output == "json" else to_text(verdict))
    raise typer.Exit(0 if verdict.passed else 1)


async def _play(scenario: str, layout: Layout) -> Verdict:
    return await SCENARIOS[scenario].play(admin_config(layout), LocalFabric(layout), _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
