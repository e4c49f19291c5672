"""Which lists of a kind are merged by key, read off the types themselves; pure."""

import functools
import types
import typing
from typing import Annotated, Any, get_args, get_origin

import msgspec

from master.api.model import MergeBy, MergeSet, RetainKeys
from master.api.scheme import SCHEME


class FieldRule(msgspec.Struct, frozen=True):
    """How one field takes part in a strategic merge."""

    struct: type[msgspec.Struct] | None = None
    """The type of the value, or of a list's elements, where it is an object."""
    merge_key: str = ""
    is_set: bool = False
    retain_keys: bool = False


ATOMIC = FieldRule()


def struct_of(api_version: str, kind: str) -> type[msgspec.Struct] | None:
    """The type of a kind; None for kinds we do not know, which have no strategic merge."""
    group, _, version = api_version.rpartition("/")
    info = SCHEME.by_kind(group, version, kind)
    return info.struct if info else None


def rule(struct: type[msgspec.Struct] | None, field: str) -> FieldRule:
    return _rules(struct).get(field, ATOMIC) if struct is not None else ATOMIC


@functools.cache
def _rules(struct: type[msgspec.Struct]) -> dict[str, FieldRule]:
    hints = typing.get_type_hints(struct, include_extras=True)
    return {field.encode_name: _read(hints[field.name]) for field in msgspec.structs.fields(struct)}


def _read(hint: Any) -> FieldRule:
    found = FieldRule(struct=_struct_in(hint))
    for note in _notes(hint):
        if isinstance(note, MergeBy):
            found = msgspec.structs.replace(found, merge_key=note.key, retain_keys=note.retain_keys)
        elif isinstance(note, MergeSet):
            found = msgspec.structs.replace(found, is_set=note.strategic)
        elif isinstance(note, RetainKeys):
            found = msgspec.structs.replace(found, retain_keys=True)
    return found


def _notes(hint: Any) -> list[Any]:
    if get_origin(hint) is Annotated:
        return [*hint.__metadata__, *_notes(get_args(hint)[0])]
    if get_origin(hint) in (typing.Union, types.UnionType):
        return [note for part in get_args(hint) for note in _notes(part)]
    return []


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The Struct that a hint leads to through Annotated, optional and list; maps of Structs do not occur."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if get_origin(hint) is Annotated:
        return _struct_in(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, types.UnionType, list):
        return next(filter(None, map(_struct_in, get_args(hint))), None)
    return None
