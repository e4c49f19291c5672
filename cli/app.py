"""The `timonier` command, put together from its verbs."""

from typing import Annotated

import typer

from cli import (
    apply,
    cordon,
    create,
    delete,
    events,
    execute,
    get,
    logs,
    metadata,
    rollout,
    scale,
)
from cli.describe import command as describe
from cli.verb import Common

app = typer.Typer(
    name="timonier",
    help="Timonier: a Kubernetes you can read, break and trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (get, describe, apply, create, delete, scale, logs, execute, rollout, metadata, cordon, events):
    module.register(app)


@app.callback()
def remember(
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", help="Path to the kubeconfig file.")] = "",
    context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig to use.")] = "",
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="Namespace to work in.")] = "",
) -> None:
    """Timonier: a Kubernetes you can read, break and trust."""
    Common.values = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}


def main() -> None:
    app()


from cli.cluster.commands import register  # noqa: E402 - the cluster's own verbs come after the user's

register(app)
