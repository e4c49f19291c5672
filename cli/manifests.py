"""Manifests → objects: files, folders and standard input, YAML or JSON, several documents, Lists."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from cli.errors import CommandError
from cli.resources import Catalogue, Resource, Tree

SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 3 * 1024 * 1024
"""A larger request the server would refuse anyway."""


class Manifest(msgspec.Struct, frozen=True):
    """One object as somebody wrote it, and where."""

    tree: Tree
    source: str

    @property
    def name(self) -> str:
        return str((self.tree.get("metadata") or {}).get("name") or "")

    @property
    def namespace(self) -> str:
        return str((self.tree.get("metadata") or {}).get("namespace") or "")

    def resource(self, catalogue: Catalogue) -> Resource:
        try:
            return catalogue.by_kind(self.tree["apiVersion"], self.tree["kind"])
        except CommandError as error:
            where = (
                f'resource mapping not found for name: "{self.name}" namespace: "{self.namespace}" from "{self.source}"'
            )
            raise CommandError(f"{where}: {error}") from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the C loader may be absent
    """Dates stay text, as in JSON; a key given twice is an error, not a silent loss."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} already set in map", node.start_mark)
    loader.flatten_mapping(node)
    return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_manifests(filenames: Sequence[str], *, recursive: bool = False) -> list[Manifest]:
    """Every object of every file, in order."""
    found = [
        manifest
        for filename in filenames
        for source, text in _texts(filename, recursive)
        for manifest in parse_manifests(text, source)
    ]
    if not found:
        raise CommandError("no objects passed")
    return found


def _texts(filename: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if filename == "-":
        yield "STDIN", sys.stdin.read(MAX_BYTES)
        return
    path = Path(filename)
    if not path.exists():
        raise CommandError(f'the path "{filename}" does not exist')
    paths = [path]
    if path.is_dir():
        paths = sorted(file for file in path.glob("**/*" if recursive else "*") if file.suffix in SUFFIXES)
    for file in paths:
        try:
            yield str(file), file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file}: {error}") from error


def parse_manifests(text: str, source: str) -> Iterator[Manifest]:
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, ValueError) as error:
        raise CommandError(f"error parsing {source}: {error}") from error
    for document in documents:
        if document is not None:
            yield from _objects(document, source)


def _objects(document: Any, source: str) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise CommandError(f"error parsing {source}: an object was expected, not {type(document).__name__}")
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise CommandError(f'error validating "{source}": {field} not set')
    if document["kind"] == "List" and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item, source)
    else:
        yield Manifest(document, source)
