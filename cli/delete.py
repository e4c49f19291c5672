"""`timonier delete`: delete objects and wait until they are gone."""

import asyncio
from typing import Annotated, Any

import typer

from cli import verb
from cli.errors import CommandError
from cli.manifests import read_manifests
from cli.options import ALL_NAMESPACES, FIELD_SELECTOR, OPTIONAL_TARGETS, RECURSIVE, SELECTOR
from cli.resources import Resource, Tree, parse_targets
from cli.session import Session
from cli.watching import watch_lines
from master.api.status import ApiError, Expired, NotFound

POLICIES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}


class Victim:
    """One object to delete."""

    def __init__(self, resource: Resource, namespace: str, name: str) -> None:
        self.resource = resource
        self.namespace = namespace
        self.name = name

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)


def register(app: typer.Typer) -> None:
    verb.add(app, "delete", delete)


async def delete(
    session: Session,
    targets: OPTIONAL_TARGETS = None,
    filename: Annotated[list[str] | None, typer.Option("-f", "--filename", help="File, folder, or -.")] = None,
    recursive: RECURSIVE = False,
    selector: SELECTOR = "",
    field_selector: FIELD_SELECTOR = "",
    all_objects: Annotated[bool, typer.Option("--all", help="All objects of the resource.")] = False,
    all_namespaces: ALL_NAMESPACES = False,
    wait: Annotated[bool, typer.Option(help="Wait until the objects are gone.")] = True,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait; 0 waits as long as it takes.")] = 0,
    grace_period_s: Annotated[int, typer.Option("--grace-period", help="Seconds given to a pod; -1: its own.")] = -1,
    force: Annotated[bool, typer.Option("--force", help="With --grace-period=0: do not wait for the node.")] = False,
    now: Annotated[bool, typer.Option("--now", help="The same as --grace-period=1.")] = False,
    cascade: Annotated[str, typer.Option(help="background, foreground or orphan.")] = "background",
    ignore_not_found: Annotated[bool, typer.Option("--ignore-not-found", help="A missing object is no error.")] = False,
) -> int:
    """Delete objects by name, selector or manifest."""
    if cascade not in POLICIES:
        raise CommandError(f'--cascade: "{cascade}" is neither background, foreground nor orphan')
    options: dict[str, Any] = {"propagationPolicy": POLICIES[cascade]}
    grace_s = 1 if now else 0 if force and grace_period_s < 0 else grace_period_s
    if grace_s >= 0:
        options["gracePeriodSeconds"] = grace_s
    if filename:
        victims = await _of_manifests(session, filename, recursive)
    else:
        query = {"labelSelector": selector, "fieldSelector": field_selector}
        victims = await _chosen(session, targets or [], query, all_objects, all_namespaces)
        if not victims:
            print("No resources found")
    code, waiting = 0, []
    for victim in victims:
        try:
            answer = await session.send("DELETE", victim.path, options)
        except NotFound as error:
            if not ignore_not_found:
                verb.complain(error)
                code = 1
            continue
        except ApiError as error:
            verb.complain(error)
            code = 1
            continue
        kind = victim.resource.label("").rstrip("/")
        print(f'{kind} "{victim.name}" {"force " if force else ""}deleted', flush=True)
        waiting.append(wait_gone(session, victim, uid_of(answer)))
    if wait and not force:
        try:
            async with asyncio.timeout(timeout_s or None):
                await asyncio.gather(*waiting)
        except TimeoutError:
            raise CommandError("timed out waiting for the objects to be gone") from None
    else:
        for each in waiting:
            each.close()
    return code


def uid_of(answer: Tree) -> str:
    """Of the object, or of the Status that stands for it."""
    uid: str = (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid") or ""
    return uid


async def _of_manifests(session: Session, filename: list[str], recursive: bool) -> list[Victim]:
    catalogue = await session.catalogue()
    victims = []
    for manifest in read_manifests(filename, recursive=recursive):
        resource = manifest.resource(catalogue)
        victims.append(Victim(resource, session.namespace_of(manifest, resource), manifest.name))
    return victims


async def _chosen(
    session: Session, words: list[str], query: dict[str, str], all_objects: bool, all_namespaces: bool
) -> list[Victim]:
    query = {key: value for key, value in query.items() if value}
    targets = parse_targets(words, await session.catalogue())
    victims = []
    for target in targets:
        if target.name:
            victims.append(Victim(target.resource, session.namespace, target.name))
            continue
        if not (query or all_objects):
            raise CommandError("resource(s) were provided, but no name, label selector, or --all flag specified")
        for tree in await session.list(target.resource, query, namespace="" if all_namespaces else None):
            meta = tree["metadata"]
            victims.append(Victim(target.resource, meta.get("namespace", ""), meta["name"]))
    return victims


async def wait_gone(session: Session, victim: Victim, uid: str) -> None:
    """Until the object is gone, or another one bears its name."""
    query = {"fieldSelector": f"metadata.name={victim.name}"}
    while True:
        try:
            listed = await session.get(victim.resource.path(victim.namespace), query)
            items = listed.get("items") or []
            if not items or (uid and items[0]["metadata"]["uid"] != uid):
                return
            version = listed["metadata"]["resourceVersion"]
            async for event in watch_lines(
                session, victim.resource.path(victim.namespace), {**query, "resourceVersion": version}
            ):
                if event["type"] == "DELETED":
                    return
        except Expired:
            continue
