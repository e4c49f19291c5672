"""What all verbs share: the global options, a session, and errors turned into words and exit codes.

A verb is an async function whose first parameter is the `Session`; its other parameters are its own options. Typer
sees it with the global options added, so that they may stand before or after the verb.
"""

import asyncio
import functools
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from cli.errors import CommandError, explain
from cli.session import open_session
from master.api.status import ApiError

Verb = Callable[..., Awaitable[int | None]]

_CLUSTER_OPTIONS = "Which cluster"
COMMON: dict[str, Any] = {
    "kubeconfig": Annotated[
        str, typer.Option("--kubeconfig", help="Path to the kubeconfig file.", rich_help_panel=_CLUSTER_OPTIONS)
    ],
    "context": Annotated[
        str, typer.Option("--context", help="Context of the kubeconfig to use.", rich_help_panel=_CLUSTER_OPTIONS)
    ],
    "namespace": Annotated[
        str, typer.Option("-n", "--namespace", help="Namespace to work in.", rich_help_panel=_CLUSTER_OPTIONS)
    ],
}


class Common:
    """Values of the global options that were given before the verb."""

    values: dict[str, str] = {}


def add(app: typer.Typer, name: str, function: Verb, **options: Any) -> None:
    """Register `function` as the verb `name`."""
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[1:]
    common = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default="", annotation=annotation)
        for key, annotation in COMMON.items()
    ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        chosen = {key: given.pop(key) or Common.values.get(key, "") for key in COMMON}
        raise typer.Exit(run(function, chosen, given))

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = signature.replace(parameters=[*parameters, *common], return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*parameters, *common]}
    del command.__wrapped__  # Typer would look through it at the verb's own signature
    app.command(name, **options)(command)


def run(function: Verb, common: dict[str, str], given: dict[str, Any]) -> int:
    """The verb's exit code."""
    logging.basicConfig(level=logging.ERROR)  # a server that does not answer is told once, by the final error
    try:
        return asyncio.run(_with_session(function, common, given)) or 0
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
    except ApiError as error:
        print(explain(error), file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough: `timonier get pods | head`
        sys.stderr.close()
    return 1


def complain(error: ApiError, action: str = "") -> None:
    """Tell of one failure among several objects and go on."""
    print(explain(error, action), file=sys.stderr)


def note_none_found(namespace: str, all_namespaces: bool) -> None:
    """An empty list is no failure, but silence would look like one."""
    where = f" in {namespace} namespace" if namespace and not all_namespaces else ""
    print(f"No resources found{where}.", file=sys.stderr)


async def _with_session(function: Verb, common: dict[str, str], given: dict[str, Any]) -> int | None:
    async with open_session(common["kubeconfig"], common["context"], common["namespace"]) as session:
        return await function(session, **given)
