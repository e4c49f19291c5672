"""The table of everything this server serves: resource, kind and Struct, found in the modules of the groups.

Adding a kind is adding one module: every module of a group package that lists `RESOURCES` is in the scheme.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence

import master.api as api
from master.api.meta import Object
from master.api.resource import Column, ResourceInfo, Subresource

__all__ = ["SCHEME", "Column", "ResourceInfo", "Scheme", "Subresource"]


class Scheme:
    """Look-ups over the served resources; immutable once built."""

    def __init__(self, infos: Iterable[ResourceInfo]) -> None:
        known = sorted(infos, key=lambda info: (info.group, info.version, info.plural or f"~{info.kind}"))
        self._served = tuple(info for info in known if info.plural)
        self._by_struct: dict[type[Object], ResourceInfo] = {info.struct: info for info in reversed(known)}
        self._by_kind = {(info.group, info.version, info.kind): info for info in known}
        self._by_resource = {(info.group, info.version, info.plural): info for info in self._served}

    def by_struct(self, struct: type[Object]) -> ResourceInfo:
        return self._by_struct[struct]

    def by_resource(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        return self._by_resource.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> ResourceInfo | None:
        return self._by_kind.get((group, version, kind))

    def of(self, obj: Object) -> ResourceInfo:
        return self._by_struct[type(obj)]

    def all(self) -> Sequence[ResourceInfo]:
        """The served resources by group, version and plural; the core group comes first."""
        return self._served

    def groups(self) -> dict[str, list[str]]:
        """Group -> its versions."""
        found: dict[str, list[str]] = {}
        for info in self._served:
            versions = found.setdefault(info.group, [])
            if info.version not in versions:
                versions.append(info.version)
        return found


def _discover() -> Iterator[ResourceInfo]:
    for package in pkgutil.iter_modules(api.__path__, f"{api.__name__}."):
        if not package.ispkg:
            continue
        group = importlib.import_module(package.name)
        for module in pkgutil.iter_modules(group.__path__, f"{group.__name__}."):
            yield from getattr(importlib.import_module(module.name), "RESOURCES", ())


SCHEME = Scheme(_discover())
