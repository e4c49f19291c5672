"""How the fields of a Struct merge, read from the annotations of the API types, once a type.

The API server's strategic patches and the client's three-way patches rest on the same rules.
"""

import types
from functools import cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from master.api.model import MergeBy, MergeSet, RetainKeys

Struct = type[msgspec.Struct]


class FieldRule(NamedTuple):
    """One field: what it holds and how it merges."""

    struct: Struct | None = None
    """The Struct of an embedded object, or of the elements of a list or map; None for scalars and plain maps."""
    is_list: bool = False
    is_map: bool = False
    merge_key: str = ""
    """Strategic patches merge the list by this member of its elements."""
    merge_set: bool = False
    """Strategic patches merge the list of scalars as a set."""
    apply_keys: tuple[str, ...] = ()
    """Server-side apply merges the list by these members."""
    apply_set: bool = False
    retain_keys: bool = False
    """Strategic patches of the object, or of the list's elements, name the members that stay (`$retainKeys`)."""


PLAIN = FieldRule()


@cache  # bounded by the number of Structs
def rules_of(struct: Struct) -> dict[str, FieldRule]:
    """Wire name -> rule."""
    hints = get_type_hints(struct, include_extras=True)
    pairs = zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    return {wire: _rule(hints[name]) for name, wire in pairs}


def rule_of(struct: Struct | None, name: str) -> FieldRule:
    """The rule of a field; a field or type that we do not know merges like plain JSON."""
    return rules_of(struct).get(name, PLAIN) if struct is not None else PLAIN


def _rule(hint: Any) -> FieldRule:
    marks: tuple[Any, ...] = ()
    while True:
        if get_origin(hint) is Annotated:
            marks += hint.__metadata__
            hint = hint.__origin__
        elif get_origin(hint) in (Union, types.UnionType):
            rest = [arg for arg in get_args(hint) if arg is not type(None)]
            if len(rest) != 1:
                return PLAIN
            hint = rest[0]
        else:
            break
    if get_origin(hint) is list:
        return _list_rule(_struct_of(get_args(hint)[0]), marks)
    if get_origin(hint) is dict:
        return FieldRule(struct=_struct_of(get_args(hint)[1]), is_map=True)
    return FieldRule(struct=_struct_of(hint), retain_keys=any(isinstance(mark, RetainKeys) for mark in marks))


def _list_rule(element: Struct | None, marks: tuple[Any, ...]) -> FieldRule:
    for mark in marks:
        if isinstance(mark, MergeBy):
            keys = mark.keys or (mark.key,)
            retain = mark.retain_keys
            return FieldRule(element, is_list=True, merge_key=mark.key, apply_keys=keys, retain_keys=retain)
        if isinstance(mark, MergeSet):
            return FieldRule(struct=element, is_list=True, merge_set=mark.strategic, apply_set=True)
    return FieldRule(struct=element, is_list=True)


def _struct_of(hint: Any) -> Struct | None:
    if get_origin(hint) is Annotated:
        hint = hint.__origin__
    return hint if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else None
