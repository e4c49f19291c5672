"""The patch of `apply`: what the manifest wants now, minus what it no longer says, over what is live; pure.

Three states meet. What the manifest says and the live object does not have is set. What the manifest said last time
and says no more is removed. What neither ever said (defaults, other writers' fields) is left alone. Lists with a
merge key are compared element by element, all others as a whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from master.api.mergefields import FieldRule, Struct, rule_of
from master.api.scheme import SCHEME

Tree = dict[str, Any]


def struct_of(api_version: str, kind: str) -> Struct | None:
    """The type of a kind; None for kinds we do not know, which have no strategic merge."""
    group, _, version = api_version.rpartition("/")
    info = SCHEME.by_kind(group, version, kind)
    return info.struct if info else None


def three_way_patch(original: Tree, modified: Tree, live: Tree, struct: Struct | None) -> Tree:
    """A strategic merge patch (a plain merge patch where `struct` is None); empty when nothing is to be done."""
    return _map(original, modified, live, struct)


def _map(original: Tree, modified: Tree, live: Tree, struct: Struct | None) -> Tree:
    patch: Tree = {}
    for key, wanted in modified.items():
        patch.update(_field(key, original.get(key), wanted, live, rule_of(struct, key)))
    for key in original.keys() - modified.keys():
        if live.get(key) is not None:
            patch[key] = _gone(original[key], live[key], rule_of(struct, key))
    return patch


def _gone(original: Any, present: Any, how: FieldRule) -> Any:
    """The removal of a field. Of a plain map (labels, data) only our own keys go; an object goes as a whole, because
    what would remain of it (a probe's defaults without its handler) need not be valid."""
    if (how.struct is None or how.is_map) and isinstance(original, dict) and isinstance(present, dict):
        return {key: None for key in original if key in present}
    return None


def _field(key: str, original: Any, wanted: Any, live: Tree, how: FieldRule) -> Tree:
    if wanted is None:  # an explicit null asks for removal
        return {key: None} if live.get(key) is not None else {}
    present = live.get(key)
    if isinstance(wanted, dict) and isinstance(present, dict):
        before = original if isinstance(original, dict) else {}
        changes = _map(before, wanted, present, None if how.is_map else how.struct)
        if changes and how.retain_keys:
            changes["$retainKeys"] = sorted(key for key, value in wanted.items() if value is not None)
        return {key: changes} if changes else {}
    if isinstance(wanted, list) and isinstance(present, list) and _mergeable(how, wanted, present):
        former = original if isinstance(original, list) else []
        if how.merge_set:
            return _set(key, former, wanted, present)
        return _merged_list(key, former, wanted, present, how)
    return {} if _equal(wanted, present) else {key: wanted}


def _mergeable(how: FieldRule, wanted: Sequence[Any], present: Sequence[Any]) -> bool:
    if how.merge_set:
        return True
    items = [*wanted, *present]
    return bool(how.merge_key) and all(isinstance(item, dict) and how.merge_key in item for item in items)


def _set(key: str, original: Sequence[Any], wanted: Sequence[Any], present: Sequence[Any]) -> Tree:
    new = [item for item in wanted if item not in present]
    gone = [item for item in original if item not in wanted and item in present]
    patch: Tree = {key: new} if new else {}
    if gone:
        patch[f"$deleteFromPrimitiveList/{key}"] = gone
    return patch


def _merged_list(
    key: str, original: Sequence[Tree], wanted: Sequence[Tree], present: Sequence[Tree], how: FieldRule
) -> Tree:
    name = how.merge_key
    before, now = _by_key(original, name), _by_key(present, name)
    changes: list[Tree] = []
    for item in wanted:
        if item[name] not in now:
            changes.append(item)
            continue
        change = _map(before.get(item[name], {}), item, now[item[name]], how.struct)
        if change and how.retain_keys:
            change["$retainKeys"] = sorted(key for key, value in item.items() if value is not None)
        if change:
            changes.append({**change, name: item[name]})
    kept = {item[name] for item in wanted}
    changes += [{"$patch": "delete", name: value} for value in before if value not in kept and value in now]
    if not changes:
        return {}
    return {f"$setElementOrder/{key}": [{name: item[name]} for item in wanted], key: changes}


def _by_key(items: Sequence[Any], name: str) -> Mapping[Any, Tree]:
    return {item[name]: item for item in items if isinstance(item, dict) and name in item}


def _equal(wanted: Any, present: Any) -> bool:
    """As JSON compares: true is not 1."""
    if isinstance(wanted, bool) != isinstance(present, bool):
        return False
    return bool(wanted == present)
