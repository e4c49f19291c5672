"""The cluster's own verbs: up, down, status, check, kubeconfig, master run, node run, chaos."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from cli.cluster import certificates, check, tables
from cli.cluster import report as reports
from cli.cluster.chaos_commands import chaos_app
from cli.cluster.layout import API_PORT, DEFAULT_NAME, EngineKind, Layout, Profile, load
from cli.cluster.options import CLUSTER, OUTPUT, fail, load_layout
from cli.cluster.progress import Progress
from cli.cluster.supervisor import run_host
from cli.cluster.up import SAMPLE_NAMESPACE, UpError, down, show_kubectl_hint, up


def register(app: typer.Typer) -> None:
    """Adds the cluster's verbs to the command."""
    app.command("up")(up_command)
    app.command("down")(down_command)
    app.command("status")(status_command)
    app.command("check")(check_command)
    app.command("kubeconfig")(kubeconfig_command)
    for role in ("master", "node"):
        group = typer.Typer(help=f"Processes of one {role}.", no_args_is_help=True)
        group.command("run", help=f"Run the processes of a {role} under supervision, in the foreground.")(run_command)
        app.add_typer(group, name=role)
    app.add_typer(chaos_app, name="chaos")


def up_command(
    cluster: CLUSTER = DEFAULT_NAME,
    runtime: Annotated[EngineKind | None, typer.Option(help="The container engine; Docker where it is found.")] = None,
    masters: Annotated[int, typer.Option(help="How many masters (1, 3 or 5).")] = 3,
    nodes: Annotated[int, typer.Option(help="How many nodes.")] = 3,
    profile: Annotated[Profile, typer.Option(help="Pods leave a lost node after 5 s, 30 s or 300 s.")] = "chaos",
    network: Annotated[int, typer.Option(help="Hosts get addresses in 10.N.0.0/16, pods in 10.(N+1).0.0/16.")] = 90,
    port: Annotated[int, typer.Option(help="Port of the API gateway on 127.0.0.1.")] = API_PORT,
    sample: Annotated[bool, typer.Option(help="Deploy the sample and show it working.")] = True,
    output: OUTPUT = "table",
) -> None:
    """Start a cluster on this machine, deploy the sample and show it working. Safe to repeat."""
    layout = _choose_layout(
        {
            "name": cluster,
            "masters": masters,
            "nodes": nodes,
            "engine": runtime or check.detect_engine(),
            "profile": profile,
            "second_octet": network,
            "gateway_port": port,
        },
        explicit_engine=bool(runtime),
    )
    # While servers start, failing over to another one is the normal case and not worth a user's attention.
    logging.getLogger("master.client").setLevel(logging.ERROR)
    # With JSON on standard output, the steps go to standard error.
    console = tables.make_console() if output == "table" else Console(stderr=True)
    progress = Progress(console)
    try:
        up(layout, progress, sample=sample)
    except (UpError, RuntimeError) as error:
        fail(str(error))
    found = asyncio.run(reports.gather(layout))
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    tables.print_report(console, found, namespace=SAMPLE_NAMESPACE)
    console.print(f"\nThe cluster is up after {progress.elapsed_s:.1f} s. Try next:")
    for line in show_kubectl_hint(layout):
        console.print(f"  {line}", highlight=False, soft_wrap=True)


def _choose_layout(wanted: dict[str, object], *, explicit_engine: bool) -> Layout:
    """A saved cluster keeps its shape; asking for another one is an error that says what to do."""
    try:
        layout = msgspec.convert(wanted, Layout)
    except (msgspec.ValidationError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        saved = load(layout.name)
    except FileNotFoundError:
        return layout
    if not explicit_engine:
        layout = msgspec.structs.replace(layout, engine=saved.engine)
    if msgspec.structs.replace(layout, profile=saved.profile) != saved:
        shape = f"{saved.masters} masters, {saved.nodes} nodes, {saved.engine}"
        fail(f"cluster {saved.name!r} exists with another shape ({shape}); `timonier down --purge` removes it")
    return layout


def down_command(
    cluster: CLUSTER = DEFAULT_NAME,
    purge: Annotated[bool, typer.Option("--purge", help="Remove the cluster's state and certificates too.")] = False,
) -> None:
    """Stop the cluster and remove every process, container, namespace, rule and mount; keep its state."""
    layout = load_layout(cluster)
    stayed = down(layout, purge=purge)
    for trace in stayed:
        print(f"warning: could not remove {trace}", file=sys.stderr)
    print(f"cluster {cluster} is down" + (" and its state is gone" if purge else "; its state is kept"))
    raise typer.Exit(1 if stayed else 0)


def status_command(cluster: CLUSTER = DEFAULT_NAME, output: OUTPUT = "table") -> None:
    """Show masters, nodes and pods: who runs, who leads, what is Ready."""
    found = asyncio.run(reports.gather(load_layout(cluster)))
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        tables.print_report(tables.make_console(), found)
    raise typer.Exit(0 if found.running else 1)


def check_command(
    runtime: Annotated[EngineKind | None, typer.Option(help="The container engine to check for.")] = None,
    output: OUTPUT = "table",
) -> None:
    """Report what this machine has and lacks for a local cluster; changes nothing."""
    found = check.findings(runtime or check.detect_engine())
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for finding in found:
            mark = "ok     " if finding.ok else "missing" if not finding.optional else "absent "
            print(f"{mark} {finding.name:<15} {finding.why}" + (f"  → {finding.remedy}" if finding.remedy else ""))
    raise typer.Exit(1 if any(not f.ok and not f.optional for f in found) else 0)


def kubeconfig_command(
    cluster: CLUSTER = DEFAULT_NAME,
    path: Annotated[bool, typer.Option("--path", help="Print the file's path, not its content.")] = False,
) -> None:
    """Print an administrator's kubeconfig: one context through the gateway, one per master."""
    layout = load_layout(cluster)
    file = certificates.write_kubeconfig(layout)
    print(file if path else file.read_text(), end="\n" if path else "")


def run_command(config: Annotated[Path, typer.Option(help="The host's file, written by `timonier up`.")]) -> None:
    """Run a host's processes under supervision until SIGTERM."""
    if not config.exists():
        fail(f"--config: {config} does not exist")
    run_host(config)
