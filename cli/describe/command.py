"""The verb `describe`: fetch the object and what belongs to it, and hand both to the page of its kind."""

import time

import typer

from cli import verb
from cli.describe.nodes import describe_node
from cli.describe.page import Page, head, words
from cli.describe.pods import describe_pod
from cli.describe.services import describe_service
from cli.describe.workloads import describe_deployment, describe_replicas
from cli.events import events_of, seen
from cli.options import ALL_NAMESPACES, SELECTOR, TARGETS
from cli.output import without_managed_fields
from cli.resources import Target, Tree, parse_targets
from cli.session import Session
from cli.workloads import selector_text
from master.api.status import ApiError, NotFound

DATA = ("data", "binaryData")
"""Of ConfigMaps and Secrets."""


def register(app: typer.Typer) -> None:
    verb.add(app, "describe", describe)


async def describe(
    session: Session, targets: TARGETS, selector: SELECTOR = "", all_namespaces: ALL_NAMESPACES = False
) -> int:
    """Show one or many objects with what belongs to them and their events."""
    code, pages = 0, []
    for target in parse_targets(targets, await session.catalogue()):
        try:
            trees = await _trees(session, target, selector, all_namespaces)
        except NotFound as error:
            verb.complain(error)
            code = 1
            continue
        pages += [await _page(session, target, tree) for tree in trees]
    print(*pages, sep="\n\n", end="")
    if not pages and not code:
        verb.note_none_found(session.namespace, all_namespaces)
    return code


async def _trees(session: Session, target: Target, selector: str, all_namespaces: bool) -> list[Tree]:
    """The named object; without a name, or when only the beginning of names was given, all that match."""
    resource = target.resource
    query = {"labelSelector": selector} if selector else {}
    if not target.name:
        return await session.list(resource, query, namespace="" if all_namespaces else None)
    try:
        return [await session.get(resource.path(session.namespace, target.name))]
    except NotFound:
        everything = await session.list(resource)
        found = [tree for tree in everything if tree["metadata"]["name"].startswith(target.name)]
        if not found:
            raise
        return found


async def _page(session: Session, target: Target, tree: Tree) -> str:
    page = Page()
    namespace = tree["metadata"].get("namespace", "")
    match target.resource.kind:
        case "Pod":
            describe_pod(page, tree)
        case "Node":
            await _node(session, page, tree)
        case "Deployment":
            owner = tree["metadata"]["uid"]
            query = {"labelSelector": selector_text(tree["spec"].get("selector"))}
            found = await _listed(session, "replicasets.apps", query, namespace)
            describe_deployment(page, tree, [each for each in found if _owned(each, owner)])
        case "ReplicaSet" | "ReplicationController":
            query = {"labelSelector": selector_text(tree["spec"].get("selector"))}
            describe_replicas(page, tree, await _listed(session, "pods", query, namespace))
        case "Service":
            query = {"labelSelector": f"kubernetes.io/service-name={tree['metadata']['name']}"}
            describe_service(page, tree, await _listed(session, "endpointslices", query, namespace))
        case kind:
            _anything(page, tree, hide_data=kind == "Secret")
    await _events(session, page, tree)
    return page.text()


def _owned(tree: Tree, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in tree["metadata"].get("ownerReferences") or [])


async def _node(session: Session, page: Page, node: Tree) -> None:
    name = node["metadata"]["name"]
    pods = await _listed(session, "pods", {"fieldSelector": f"spec.nodeName={name}"}, "")
    leases = (await session.catalogue()).find("leases")
    try:
        lease: Tree | None = await session.get(leases.path("kube-node-lease", name))
    except ApiError:
        lease = None
    describe_node(page, node, pods, lease)


def _anything(page: Page, tree: Tree, *, hide_data: bool) -> None:
    """A kind without a page of its own: everything it has, as an outline."""
    head(page, tree)
    rest = {
        key: value
        for key, value in without_managed_fields(tree).items()
        if key not in ("metadata", "apiVersion", "kind")
    }
    if hide_data:  # a Secret's values are not for the screen
        rest["data"] = {key: f"{len(value)} characters of base64" for key, value in (tree.get("data") or {}).items()}
    page.field("API Version", tree["apiVersion"])
    page.field("Kind", tree["kind"])
    for field in DATA:
        if rest.get(field):
            page.heading(words(field))
            for key, value in sorted(rest[field].items()):  # these keys are somebody's own words
                page.field(key, value, level=1)
    page.tree({key: value for key, value in rest.items() if key not in DATA})


async def _listed(session: Session, word: str, query: dict[str, str], namespace: str) -> list[Tree]:
    return await session.list((await session.catalogue()).find(word), query, namespace=namespace)


async def _events(session: Session, page: Page, tree: Tree) -> None:
    now_s = time.time()
    rows = [
        [
            event.get("type", ""),
            event.get("reason", ""),
            seen(event, now_s),
            (event.get("source") or {}).get("component") or event.get("reportingComponent") or "",
            (event.get("message") or "").strip().replace("\n", " "),
        ]
        for event in await events_of(session, tree)
    ]
    page.table("Events", ["Type", "Reason", "Age", "From", "Message"], rows)
