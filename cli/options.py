"""Options that several verbs have, described once."""

from typing import Annotated

import typer

TARGETS = Annotated[list[str], typer.Argument(help="`pods`, `pod web`, `deployment/web pod/x`, `pods,services`.")]
OPTIONAL_TARGETS = Annotated[list[str] | None, typer.Argument(help="`pods`, `pod web`, `deployment/web pod/x`.")]
OUTPUT = Annotated[str, typer.Option("-o", "--output", help="wide, json, yaml, name or jsonpath=TEMPLATE.")]
SELECTOR = Annotated[str, typer.Option("-l", "--selector", help="Label selector, such as app=web,tier!=db.")]
FIELD_SELECTOR = Annotated[str, typer.Option("--field-selector", help="Field selector, such as status.phase=Running.")]
ALL_NAMESPACES = Annotated[bool, typer.Option("-A", "--all-namespaces", help="Of all namespaces.")]
WATCH = Annotated[bool, typer.Option("-w", "--watch", help="Go on showing what changes.")]
FILENAMES = Annotated[list[str], typer.Option("-f", "--filename", help="File, folder, or - for standard input.")]
RECURSIVE = Annotated[bool, typer.Option("-R", "--recursive", help="Look into subfolders too.")]
CONTAINER = Annotated[str, typer.Option("-c", "--container", help="Container; by default the pod's first.")]
NO_HEADERS = Annotated[bool, typer.Option("--no-headers", help="Without the line of column names.")]
DRY_RUN = Annotated[str, typer.Option("--dry-run", help="none, client (send nothing) or server (store nothing).")]
