"""`timonier label` and `timonier annotate`: small facts on objects."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from cli import verb
from cli.errors import CommandError
from cli.options import ALL_NAMESPACES, SELECTOR
from cli.resources import Tree, parse_targets
from cli.session import Session
from master.api.status import ApiError
from master.client.rest import PATCH_TYPES

WORDS = Annotated[list[str], typer.Argument(help="Objects, then key=value to set and key- to remove.")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Change values that are set already.")]
ALL = Annotated[bool, typer.Option("--all", help="All objects of the resource.")]


class Edit(msgspec.Struct, frozen=True):
    """Which of an object's maps is edited, and what is said about it."""

    field: str
    done: str
    undone: str


LABELS = Edit("labels", "labeled", "unlabeled")
ANNOTATIONS = Edit("annotations", "annotated", "annotated")


def register(app: typer.Typer) -> None:
    verb.add(app, "label", label)
    verb.add(app, "annotate", annotate)


async def label(
    session: Session,
    words: WORDS,
    overwrite: OVERWRITE = False,
    all_objects: ALL = False,
    selector: SELECTOR = "",
    all_namespaces: ALL_NAMESPACES = False,
) -> int:
    """Set or remove labels: `label pod web tier=front old-`."""
    return await _edit(session, LABELS, words, overwrite, all_objects, selector, all_namespaces)


async def annotate(
    session: Session,
    words: WORDS,
    overwrite: OVERWRITE = False,
    all_objects: ALL = False,
    selector: SELECTOR = "",
    all_namespaces: ALL_NAMESPACES = False,
) -> int:
    """Set or remove annotations: `annotate pod web note=hello old-`."""
    return await _edit(session, ANNOTATIONS, words, overwrite, all_objects, selector, all_namespaces)


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """(the words that name objects, the changes: None removes)."""
    names: list[str] = []
    changes: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key:
            changes[key] = value
        elif word.endswith("-") and (changes or names):
            changes[word[:-1]] = None
        elif changes:
            raise CommandError(f'all resources must be specified before changes: "{word}"')
        else:
            names.append(word)
    if not changes:
        raise CommandError("at least one change such as key=value or key- is required")
    return names, changes


async def _edit(
    session: Session,
    edit: Edit,
    words: Sequence[str],
    overwrite: bool,
    all_objects: bool,
    selector: str,
    all_namespaces: bool,
) -> int:
    names, changes = split_words(words)
    code = 0
    for target in parse_targets(names, await session.catalogue()):
        resource = target.resource
        if target.name:
            trees = [await session.get(resource.path(session.namespace, target.name))]
        elif selector or all_objects:
            query = {"labelSelector": selector} if selector else {}
            trees = await session.list(resource, query, namespace="" if all_namespaces else None)
        else:
            raise CommandError("name the objects, or give --all or a selector")
        for tree in trees:
            meta = tree["metadata"]
            try:
                patch = plan(edit, tree, changes, overwrite=overwrite)
                if patch:
                    path = resource.path(meta.get("namespace", ""), meta["name"])
                    await session.send("PATCH", path, patch, content_type=PATCH_TYPES["merge"])
            except ApiError as error:
                verb.complain(error)
                code = 1
                continue
            word = edit.undone if all(value is None for value in changes.values()) else edit.done
            print(f"{resource.label(meta['name'])} {word if patch else f'not {edit.done}'}")
    return code


def plan(edit: Edit, tree: Tree, changes: dict[str, str | None], *, overwrite: bool) -> Tree:
    """The merge patch; empty when all is so already."""
    present = tree["metadata"].get(edit.field) or {}
    for key, value in changes.items():
        if value is not None and present.get(key, value) != value and not overwrite:
            raise CommandError(f"'{key}' already has a value ({present[key]}), and --overwrite is false")
    wanted = {key: value for key, value in changes.items() if present.get(key) != value}
    return {"metadata": {edit.field: wanted}} if wanted else {}
