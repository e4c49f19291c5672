"""The tables that `timonier up` and `timonier status` end with."""

from rich.console import Console
from rich.table import Table

from cli.cluster.report import ClusterReport

WIDTH_UNWATCHED = 140  # of a pipe or a file, where no terminal says how wide it is
_COLOURS = {"on": "green", "ready": "green", "True": "green", "leader": "cyan", "Running": "green"}


def make_console() -> Console:
    """A console that does not cut its tables when its output is not a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_UNWATCHED)


def _cell(text: object) -> str:
    colour = _COLOURS.get(str(text))
    return f"[{colour}]{text}[/{colour}]" if colour else str(text)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in ("NAME", "ADDRESS", "READY", "IP"))
    return table


def print_report(console: Console, report: ClusterReport, *, namespace: str = "") -> None:
    """Masters, nodes and (of one namespace, or all) pods."""
    masters = _table("Masters", "NAME", "ADDRESS", "POWER", "API", "STORE", "TERM", "REVISION", "LEADS", "RESTARTS")
    for m in report.masters:
        row = (m.name, m.address, m.power, m.api, m.store, m.term, m.revision, ", ".join(m.leads), m.restarts)
        masters.add_row(*map(_cell, row))
    nodes = _table("Nodes", "NAME", "ADDRESS", "POWER", "READY", "PODS", "POD CIDR", "ENGINE", "RESTARTS")
    for n in report.nodes:
        nodes.add_row(*map(_cell, (n.name, n.address, n.power, n.ready, n.pods, n.pod_cidr, n.engine, n.restarts)))
    pods = _table("Pods", "NAMESPACE", "NAME", "PHASE", "READY", "IP", "NODE")
    for p in sorted(report.pods, key=lambda p: (p.namespace, p.name)):
        if not namespace or p.namespace == namespace:
            pods.add_row(*map(_cell, (p.namespace, p.name, p.phase, p.ready, p.ip, p.node)))
    for table in (masters, nodes, pods):
        console.print()
        console.print(table)
