"""Options and errors that the cluster's verbs share."""

import sys
from typing import Annotated, Literal, NoReturn

import msgspec
import typer

from cli.cluster.layout import Layout, load

CLUSTER = Annotated[str, typer.Option("--cluster", envvar="TIMONIER_CLUSTER", help="Name of the local cluster.")]
OUTPUT = Annotated[Literal["table", "json"], typer.Option("-o", "--output", help="How to print.")]


def fail(message: str) -> NoReturn:
    """Prints the error and ends with exit code 1."""
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(1)


def load_layout(name: str) -> Layout:
    """The layout of an existing cluster, or a clear error."""
    try:
        return load(name)
    except FileNotFoundError:
        fail(f"there is no cluster {name!r}; `timonier up` makes one")
    except (msgspec.DecodeError, ValueError) as error:
        fail(f"the saved layout of cluster {name!r} cannot be read: {error}")
