"""What the server serves, from its discovery documents: names, short names and categories → resources; pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from cli.errors import CommandError

Tree = dict[str, Any]


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of the server."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    short_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    verbs: Sequence[str] = ()
    subresources: Sequence[str] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def label(self, name: str) -> str:
        """`pod/web`, `deployment.apps/web`: how commands name an object in what they print."""
        kind = self.singular or self.kind.lower()
        return f"{kind}.{self.group}/{name}" if self.group else f"{kind}/{name}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        last = "".join(f"/{quote(part, safe='')}" for part in (name, subresource) if part)
        return f"{base}{scope}/{self.plural}{last}"


class Catalogue:
    """All resources, the preferred version of each group first."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources = list(resources)

    def find(self, word: str) -> Resource:
        """By plural, singular, short name or kind, with or without the group: `deploy`, `deployments.apps`."""
        lowered = word.lower()
        name, _, group = lowered.partition(".")
        for resource in self.resources:
            names = {resource.plural, resource.singular, resource.kind.lower(), *resource.short_names}
            if lowered in names or (name in names and group and resource.group.startswith(group)):
                return resource
        raise CommandError(f'the server doesn\'t have a resource type "{word}"')

    def category(self, word: str) -> list[Resource]:
        return [resource for resource in self.resources if word in resource.categories]

    def by_kind(self, api_version: str, kind: str) -> Resource:
        for resource in self.resources:
            if (resource.api_version, resource.kind) == (api_version, kind):
                return resource
        raise CommandError(f'no matches for kind "{kind}" in version "{api_version}"')


def parse_discovery(documents: Iterable[Mapping[str, Any]]) -> Catalogue:
    """APIGroupDiscoveryList documents (`/api` and `/apis`) → the catalogue."""
    found: list[Resource] = []
    for document in documents:
        for item in document.get("items", []):
            for version in item.get("versions", []):
                found.extend(_resources(item.get("metadata", {}).get("name", ""), version))
    return Catalogue(found)


def _resources(group: str, version: Tree) -> Iterable[Resource]:
    for entry in version.get("resources", []):
        yield Resource(
            group=group,
            version=version["version"],
            plural=entry["resource"],
            singular=entry.get("singularResource", ""),
            kind=entry["responseKind"]["kind"],
            namespaced=entry.get("scope") == "Namespaced",
            short_names=entry.get("shortNames", []),
            categories=entry.get("categories", []),
            verbs=entry.get("verbs", []),
            subresources=[each["subresource"] for each in entry.get("subresources", [])],
        )


class Target(msgspec.Struct, frozen=True):
    """What a command was pointed at: an object, or (without a name) all of a resource."""

    resource: Resource
    name: str = ""


def parse_targets(words: Sequence[str], catalogue: Catalogue) -> list[Target]:
    """`pods`, `pod a b`, `pod/a deploy/b`, `pods,services`, `all` → targets."""
    if not words:
        raise CommandError("name a resource, such as `pods` or `deployment/web`")
    if any("/" in word for word in words):
        return [_slashed(word, catalogue) for word in words]
    resources = [resource for word in words[0].split(",") for resource in _by_word(word, catalogue)]
    names = words[1:]
    if not names:
        return [Target(resource) for resource in resources]
    return [Target(resource, name) for resource in resources for name in names]


def one_target(words: Sequence[str], catalogue: Catalogue) -> Target:
    targets = parse_targets(words, catalogue)
    if len(targets) != 1 or not targets[0].name:
        raise CommandError("name exactly one object, such as `deployment/web`")
    return targets[0]


def named_targets(words: Sequence[str], catalogue: Catalogue) -> list[Target]:
    targets = parse_targets(words, catalogue)
    if any(not target.name for target in targets):
        raise CommandError("name the objects, such as `deployment/web`")
    return targets


def _by_word(word: str, catalogue: Catalogue) -> list[Resource]:
    return catalogue.category(word) or [catalogue.find(word)]


def _slashed(word: str, catalogue: Catalogue) -> Target:
    kind, slash, name = word.partition("/")
    if not (kind and slash and name) or "/" in name:
        raise CommandError(f'"{word}" is not of the form resource/name; all arguments must be when one is')
    return Target(catalogue.find(kind), name)
