"""Which objects of a resource a list or watch is about: namespace, label selector, field selector."""

from collections.abc import Sequence
from typing import NamedTuple

from master.api.scheme import ResourceInfo
from master.api.selectors import Selector, parse_field_selector, parse_label_selector
from master.apiserver import errors
from master.apiserver.entry import Entry

NAME, NAMESPACE, NODE = "metadata.name", "metadata.namespace", "spec.nodeName"
PINS = (NAME, NODE, NAMESPACE)
"""Fields that watchers are indexed by when a selection demands one value; the most selective first."""


class Requirement(NamedTuple):
    field: str
    equals: bool
    value: str


class Selection:
    """A predicate on cache entries; equal selections share their work (`identity`)."""

    __slots__ = ("identity", "labels", "namespace", "pin", "requirements")

    def __init__(
        self, namespace: str = "", labels: Selector | None = None, requirements: Sequence[Requirement] = ()
    ) -> None:
        self.namespace = namespace
        self.labels = labels
        self.requirements = tuple(requirements)
        self.identity = (namespace, str(labels) if labels is not None else "", self.requirements)
        wanted = {item.field: item.value for item in requirements if item.equals}
        if namespace:
            wanted.setdefault(NAMESPACE, namespace)
        self.pin = next(((name, wanted[name]) for name in PINS if name in wanted), None)

    @property
    def is_everything(self) -> bool:
        return not self.namespace and not self.selects

    @property
    def selects(self) -> bool:
        """Whether anything but the namespace limits the result."""
        return self.labels is not None or bool(self.requirements)

    @property
    def name(self) -> str:
        """The one name that can match, or ""."""
        return next((item.value for item in self.requirements if item.equals and item.field == NAME), "")

    def matches(self, entry: Entry) -> bool:
        if self.namespace and entry.namespace != self.namespace:
            return False
        for name, equals, value in self.requirements:
            if (entry.field(name) == value) is not equals:
                return False
        return self.labels is None or self.labels.matches(entry.labels)


def parse_selection(info: ResourceInfo, namespace: str, labels: str, fields: str) -> Selection:
    selector = parse_label_selector(labels) if labels.strip() else None
    return Selection(namespace, selector, _parse_fields(info, fields) if fields else ())


def _parse_fields(info: ResourceInfo, text: str) -> list[Requirement]:
    parsed = parse_field_selector(text)
    for name, _, _ in parsed:
        if name not in info.selectable:
            raise errors.bad_request(_unknown_field(name, info))
    return [Requirement(name, operator != "!=", value) for name, operator, value in parsed]


def _unknown_field(name: str, info: ResourceInfo) -> str:
    if set(info.selectable) <= {NAME, NAMESPACE}:
        return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    return f"field label not supported: {name}"
