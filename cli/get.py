"""`timonier get`: what there is, as tables made by the server or as the objects themselves."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from cli import verb
from cli.errors import CommandError
from cli.options import ALL_NAMESPACES, FIELD_SELECTOR, NO_HEADERS, OUTPUT, SELECTOR, TARGETS, WATCH
from cli.output import TABLE, TableView, check_format, format_objects, is_table_format
from cli.resources import Resource, Target, Tree, parse_targets
from cli.session import PAGE, Session
from cli.watching import watch_lines
from master.api.status import ApiError, NotFound

Query = dict[str, str]


def register(app: typer.Typer) -> None:
    verb.add(app, "get", get)


async def get(
    session: Session,
    targets: TARGETS,
    output: OUTPUT = "",
    selector: SELECTOR = "",
    field_selector: FIELD_SELECTOR = "",
    all_namespaces: ALL_NAMESPACES = False,
    watch: WATCH = False,
    no_headers: NO_HEADERS = False,
    show_labels: Annotated[bool, typer.Option("--show-labels", help="A column with all labels.")] = False,
    label_columns: Annotated[str, typer.Option("-L", "--label-columns", help="Labels to show as columns.")] = "",
    ignore_not_found: Annotated[bool, typer.Option("--ignore-not-found", help="A missing object is no error.")] = False,
) -> int:
    """Show one or many objects."""
    check_format(output)
    chosen = parse_targets(targets, await session.catalogue())
    query = {key: value for key, value in (("labelSelector", selector), ("fieldSelector", field_selector)) if value}
    if query and any(target.name for target in chosen):
        raise CommandError("selectors and names cannot be used together")
    namespace = "" if all_namespaces else session.namespace
    if not is_table_format(output):
        return await _show_objects(session, chosen, query, namespace, output, ignore_not_found, watch)
    several = len({target.resource.qualified for target in chosen}) > 1

    def view_of(resource: Resource) -> TableView:
        return TableView(
            wide=output == "wide",
            with_namespace=all_namespaces and resource.namespaced,
            with_headers=not no_headers,
            label_columns=[label for label in label_columns.split(",") if label],
            show_labels=show_labels,
            prefix=resource.label("").rstrip("/") if several else "",
        )

    if watch:
        return await _watch_table(session, chosen, query, namespace, view_of(chosen[0].resource))
    code, shown = 0, 0
    for resource, names in _by_resource(chosen):
        try:
            lines = await _table_lines(session, resource, names, query, namespace, view_of(resource))
        except NotFound as error:
            if not ignore_not_found:
                verb.complain(error)
                code = 1
            continue
        if lines and shown:
            print()
        shown += len(lines)
        print(*lines, sep="\n", end="\n" if lines else "")
    if not shown and not code and not ignore_not_found:
        verb.note_none_found(namespace if any(target.resource.namespaced for target in chosen) else "", all_namespaces)
    return code


def _by_resource(targets: Sequence[Target]) -> list[tuple[Resource, list[str]]]:
    found: dict[str, tuple[Resource, list[str]]] = {}
    for target in targets:
        _, names = found.setdefault(target.resource.qualified, (target.resource, []))
        if target.name:
            names.append(target.name)
    return list(found.values())


async def _table_lines(
    session: Session, resource: Resource, names: Sequence[str], query: Query, namespace: str, view: TableView
) -> list[str]:
    lines: list[str] = []
    for name in names:
        lines += view.lines(await session.get(resource.path(namespace, name), accept=TABLE))
    if names:
        return lines
    page_query = {**query, "limit": str(PAGE)}
    while True:
        table = await session.get(resource.path(namespace), page_query, accept=TABLE)
        if table.get("rows") or table.get("items"):
            lines += view.lines(table)
        token = table.get("metadata", {}).get("continue")
        if not token:
            return lines
        page_query["continue"] = token


async def _watch_table(
    session: Session, targets: Sequence[Target], query: Query, namespace: str, view: TableView
) -> int:
    if len(targets) != 1:
        raise CommandError("you may only watch a single resource or object")
    resource, name = targets[0].resource, targets[0].name
    if name:
        await session.get(resource.path(namespace, name))
        query = {**query, "fieldSelector": f"metadata.name={name}"}
    table = await session.get(resource.path(namespace), query, accept=TABLE)
    if table.get("rows") or table.get("items"):
        print(*view.lines(table), sep="\n", flush=True)
    version = table["metadata"]["resourceVersion"]
    async for event in watch_lines(session, resource.path(namespace), {**query, "resourceVersion": version}, TABLE):
        print(*view.lines(event["object"]), sep="\n", flush=True)
    return 0


async def _show_objects(
    session: Session,
    targets: Sequence[Target],
    query: Mapping[str, str],
    namespace: str,
    output: str,
    ignore_not_found: bool,
    watch: bool,
) -> int:
    catalogue = await session.catalogue()
    objects: list[Tree] = []
    code = 0
    for target in targets:
        if not target.name:
            objects += await session.list(target.resource, query, namespace=namespace)
            continue
        try:
            objects.append(await session.get(target.resource.path(namespace, target.name)))
        except ApiError as error:
            if not (isinstance(error, NotFound) and ignore_not_found):
                verb.complain(error)
                code = 1
    single = len(targets) == 1 and bool(targets[0].name)
    if objects or not (single or code):
        print(format_objects(objects, output, catalogue, as_list=not single and len(targets) >= 1), end="", flush=True)
    if watch and len(targets) == 1:
        resource, params = targets[0].resource, dict(query)
        if targets[0].name:
            params["fieldSelector"] = f"metadata.name={targets[0].name}"
        table = await session.get(resource.path(namespace), {**params, "limit": "1"})
        params["resourceVersion"] = table["metadata"]["resourceVersion"]
        async for event in watch_lines(session, resource.path(namespace), params, "application/json"):
            print(format_objects([event["object"]], output, catalogue, as_list=False), end="", flush=True)
    return code
