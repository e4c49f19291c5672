"""`timonier apply`: make the cluster as the manifests say, by creation or by a three-way patch."""

import json
import sys
from typing import Any

import typer

from cli import verb
from cli.errors import CommandError
from cli.manifests import Manifest, read_manifests
from cli.options import DRY_RUN, FILENAMES, OUTPUT, RECURSIVE
from cli.output import check_format, format_objects
from cli.resources import Resource, Tree
from cli.session import Session
from cli.threeway import struct_of, three_way_patch
from master.api.status import ApiError, Conflict, NotFound
from master.client.rest import PATCH_TYPES

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own annotation, so that both commands may be used on one object."""
MAX_CONFLICTS = 5
"""Somebody else writes the object all the time: give up after as many tries as kubectl."""


def register(app: typer.Typer) -> None:
    verb.add(app, "apply", apply)


async def apply(
    session: Session, filename: FILENAMES, recursive: RECURSIVE = False, output: OUTPUT = "", dry_run: DRY_RUN = "none"
) -> int:
    """Create or change objects so that they are as the manifests say."""
    check_format(output)
    catalogue = await session.catalogue()
    manifests = [(manifest, manifest.resource(catalogue)) for manifest in read_manifests(filename, recursive=recursive)]
    query = write_query("kubectl-client-side-apply", dry_run)
    code, shown = 0, []
    for manifest, resource in manifests:
        try:
            tree, done = await _apply(session, manifest, resource, query, dry_run)
        except ApiError as error:
            verb.complain(error, f'error when applying "{manifest.source}"')
            code = 1
            continue
        shown.append(tree)
        if not output:
            print(f"{resource.label(manifest.name)} {done}{suffix(dry_run)}")
    if output and shown:
        print(format_objects(shown, output, catalogue, as_list=len(shown) > 1), end="")
    return code


def write_query(manager: str, dry_run: str) -> dict[str, str]:
    if dry_run not in ("none", "client", "server"):
        raise CommandError(f'--dry-run: "{dry_run}" is neither none, client nor server')
    query = {"fieldManager": manager, "fieldValidation": "Strict"}
    return query | ({"dryRun": "All"} if dry_run == "server" else {})


def suffix(dry_run: str) -> str:
    return "" if dry_run == "none" else f" ({dry_run} dry run)" if dry_run == "server" else " (dry run)"


async def _apply(
    session: Session, manifest: Manifest, resource: Resource, query: dict[str, str], dry_run: str
) -> tuple[Tree, str]:
    """The object as it is now, and what was done."""
    namespace = session.namespace_of(manifest, resource)
    if not manifest.name:
        raise CommandError(f'error validating "{manifest.source}": metadata.name is required by apply')
    modified = with_last_applied(manifest.tree, namespace)
    path = resource.path(namespace, manifest.name)
    for attempt in range(MAX_CONFLICTS):
        try:
            live = await session.get(path)
        except NotFound:
            if dry_run == "client":
                return modified, "created"
            return await session.send("POST", resource.path(namespace), modified, params=query), "created"
        patch, kind = _patch(manifest, modified, live)
        if not patch or dry_run == "client":
            return live, "configured" if patch else "unchanged"
        try:
            tree = await session.send("PATCH", path, patch, params=query, content_type=PATCH_TYPES[kind])
        except Conflict:
            if attempt == MAX_CONFLICTS - 1:
                raise
            continue
        same = tree["metadata"].get("resourceVersion") == live["metadata"].get("resourceVersion")
        return tree, "unchanged" if same else "configured"
    raise AssertionError("the last conflict is raised")


def _patch(manifest: Manifest, modified: Tree, live: Tree) -> tuple[Tree, str]:
    before = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if before is None:
        print(
            f"Warning: resource {manifest.tree['kind'].lower()}s/{manifest.name} is missing the {LAST_APPLIED} "
            "annotation which is required by apply. It will be patched automatically.",
            file=sys.stderr,
        )
    struct = struct_of(manifest.tree["apiVersion"], manifest.tree["kind"])
    original = _parsed(before)
    return three_way_patch(original, modified, live, struct), "merge" if struct is None else "strategic"


def _parsed(annotation: str | None) -> Tree:
    """What was applied last; an annotation that somebody broke counts as none."""
    try:
        tree: Any = json.loads(annotation or "{}")
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}


def with_last_applied(tree: Tree, namespace: str) -> Tree:
    """The manifest with the annotation that remembers it."""
    meta = dict(tree.get("metadata") or {})
    if namespace:
        meta["namespace"] = namespace
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED}
    plain = {**tree, "metadata": {**meta, "annotations": annotations}}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    return {**tree, "metadata": {**meta, "annotations": {**annotations, LAST_APPLIED: text}}}
