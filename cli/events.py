"""`timonier events`: what components did and why, oldest first."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from cli import verb
from cli.options import ALL_NAMESPACES, NO_HEADERS, OUTPUT, WATCH
from cli.output import Grid, check_format, format_objects, is_table_format
from cli.resources import Tree, one_target
from cli.session import Session
from cli.watching import watch_lines
from master.api.timestamps import human_duration, parse_rfc3339


def register(app: typer.Typer) -> None:
    verb.add(app, "events", events)


async def events(
    session: Session,
    about: Annotated[str, typer.Option("--for", help="Only of one object, such as pod/web.")] = "",
    types: Annotated[str, typer.Option("--types", help="Only Normal or Warning.")] = "",
    all_namespaces: ALL_NAMESPACES = False,
    watch: WATCH = False,
    output: OUTPUT = "",
    no_headers: NO_HEADERS = False,
) -> int:
    """List events."""
    check_format(output)
    catalogue = await session.catalogue()
    resource = catalogue.find("events")
    terms = [f"type={types}"] if types else []
    if about:
        target = one_target([about], catalogue)
        terms += [f"involvedObject.kind={target.resource.kind}", f"involvedObject.name={target.name}"]
    query = {"fieldSelector": ",".join(terms)} if terms else {}
    namespace = "" if all_namespaces else session.namespace
    found = sorted(await session.list(resource, query, namespace=namespace), key=last_seen)
    if not is_table_format(output):
        print(format_objects(found, output, catalogue, as_list=True), end="")
        return 0
    if not found and not watch:
        print(f"No events found{'' if all_namespaces else f' in {namespace} namespace'}.")
        return 0
    grid = Grid((["NAMESPACE"] if all_namespaces else []) + ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"])
    rows = [row(event, time.time(), with_namespace=all_namespaces) for event in found]
    print(*grid.lines(rows, with_headers=not no_headers), sep="\n", flush=True)
    if watch:
        listed = await session.get(resource.path(namespace), {**query, "limit": "1"})
        query["resourceVersion"] = listed["metadata"]["resourceVersion"]
        async for change in watch_lines(session, resource.path(namespace), query):
            if change["type"] != "DELETED":
                lines = grid.lines(
                    [row(change["object"], time.time(), with_namespace=all_namespaces)], with_headers=False
                )
                print(*lines, sep="\n", flush=True)
    return 0


def last_seen(event: Tree) -> float:
    """Epoch seconds; events of the newer API carry only `eventTime`."""
    series = event.get("series") or {}
    text = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    text = text or event["metadata"].get("creationTimestamp")
    return parse_rfc3339(text) if text else 0.0


def row(event: Tree, now_s: float, *, with_namespace: bool = False) -> list[str]:
    involved = event.get("involvedObject") or {}
    cells = [
        seen(event, now_s),
        event.get("type", ""),
        event.get("reason", ""),
        f"{involved.get('kind', '')}/{involved.get('name', '')}",
        (event.get("message") or "").strip().replace("\n", " "),
    ]
    return ([event["metadata"].get("namespace", "")] if with_namespace else []) + cells


def seen(event: Tree, now_s: float) -> str:
    """`3s`, or `3s (x5 over 2m)` for a repeated event."""
    text = human_duration(max(0.0, now_s - last_seen(event)))
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    first = event.get("firstTimestamp") or event.get("eventTime")
    if count <= 1 or not first:
        return text
    return f"{text} (x{count} over {human_duration(max(0.0, now_s - parse_rfc3339(first)))})"


async def events_of(session: Session, tree: Tree) -> Sequence[Tree]:
    """The events about one object, oldest first."""
    meta = tree["metadata"]
    terms = [f"involvedObject.kind={tree['kind']}", f"involvedObject.name={meta['name']}"]
    resource = (await session.catalogue()).find("events")
    query = {"fieldSelector": ",".join(terms)}
    namespace = meta.get("namespace", "")
    return sorted(await session.list(resource, query, namespace=namespace), key=last_seen)
