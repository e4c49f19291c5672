"""Strategic merge patch: a merge patch that knows which lists are maps in disguise.

Directives in the patch: `$patch` (replace, delete, merge) in objects and list elements, `$retainKeys`,
`$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`. Order follows upstream's rule: elements of the patch keep
the patch's order, the server's own elements keep theirs, and an element that only the patch knows goes first.
"""

from collections.abc import Callable, Sequence
from typing import Any

from master.api.mergefields import FieldRule, Struct, rule_of
from master.api.status import ApiError, BadRequest

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
ORDER_PREFIX = "$setElementOrder/"
DELETE_PREFIX = "$deleteFromPrimitiveList/"

Object = dict[str, Any]
Identity = Callable[[Any], str]


def apply(tree: Object, patch: Any, struct: Struct) -> Object:
    """The patched tree of an object of the given Struct; unchanged parts are shared with the arguments."""
    if not isinstance(patch, dict):
        word = {list: "array", str: "string", bool: "bool"}.get(type(patch), "number")
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"
        )
    return _merge_object(tree, patch, struct)


def _merge_object(tree: Object, patch: Object, struct: Struct | None) -> Object:
    if DIRECTIVE in patch:
        match patch[DIRECTIVE]:
            case "replace":
                return {key: value for key, value in patch.items() if key != DIRECTIVE}
            case "delete":
                return {}
            case "merge":
                patch = {key: value for key, value in patch.items() if key != DIRECTIVE}
            case _:
                raise _failed(f"unknown patch type: {_go(patch[DIRECTIVE])} in map: {_go(patch)}")
    merged = _retained(tree, patch)
    ordered = _ordered_lists(merged, patch, struct)
    for key, value in patch.items():
        if key.startswith(DELETE_PREFIX):
            _delete_scalars(merged, key[len(DELETE_PREFIX) :], value)
        elif key == RETAIN_KEYS or key.startswith(ORDER_PREFIX) or key in ordered:
            continue
        elif value is None:
            merged.pop(key, None)
        elif key in merged or not (isinstance(value, dict) and DIRECTIVE in value):
            # An object with a directive has nothing to say about a field that is not there.
            merged[key] = _merge_value(merged.get(key), value, rule_of(struct, key))
    return merged


def _retained(tree: Object, patch: Object) -> Object:
    """A copy of the tree, without what `$retainKeys` does not name."""
    if RETAIN_KEYS not in patch:
        return dict(tree)
    keep = patch[RETAIN_KEYS]
    directives = (DELETE_PREFIX, ORDER_PREFIX)
    if not isinstance(keep, list) or any(
        value is not None and key != RETAIN_KEYS and not key.startswith(directives) and key not in keep
        for key, value in patch.items()
    ):
        raise BadRequest("invalid patch format of retainKeys")
    return {key: value for key, value in tree.items() if key in keep}


def _merge_value(old: Any, new: Any, rule: FieldRule) -> Any:
    if isinstance(new, dict):
        if isinstance(old, dict):
            if rule.is_map:  # a map of objects: each entry merges as its Struct
                return _merge_map(old, new, rule.struct)
            return _merge_object(old, new, rule.struct)
        return _merge_object({}, new, None if rule.is_map else rule.struct)
    if isinstance(new, list):
        return _merge_list(old if isinstance(old, list) else [], new, rule, new)
    return new


def _merge_map(old: Object, new: Object, struct: Struct | None) -> Object:
    if DIRECTIVE in new or struct is None:
        return _merge_object(old, new, None)
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(merged.get(key), value, FieldRule(struct=struct))
    return merged


def _ordered_lists(merged: Object, patch: Object, struct: Struct | None) -> set[str]:
    """Merges the lists that come with `$setElementOrder` into `merged`; returns their names."""
    done: set[str] = set()
    for directive, order in patch.items():
        if not directive.startswith(ORDER_PREFIX):
            continue
        if not isinstance(order, list):
            raise BadRequest("invalid patch format of setElementOrder list")
        name = directive[len(ORDER_PREFIX) :]
        rule = rule_of(struct, name)
        old, new = merged.get(name), patch.get(name)
        if old is None and new is None:
            continue
        if new is not None:
            _check_order(new, order, rule)
            done.add(name)
            merged[name] = _merge_list(old or [], new, rule, order)
        elif name not in patch and isinstance(old, list):
            merged[name] = _arrange(old, order, old, _identity(rule))
    return done


def _check_order(new: Any, order: list[Any], rule: FieldRule) -> None:
    """Every element of the patch must stand in the order list."""
    identity = _identity(rule)
    known = {identity(item) for item in order}
    for item in new if isinstance(new, list) else []:
        special = isinstance(item, dict) and DIRECTIVE in item
        if not special and identity(item) not in known:
            raise _failed(
                f"The order in patch list:\n{_go(new)}\n doesn't match $setElementOrder list:\n{_go(order)}\n"
            )


def _merge_list(old: list[Any], new: list[Any], rule: FieldRule, order: list[Any]) -> list[Any]:
    if rule.merge_key:
        return _merge_keyed(old, new, rule, order)
    if rule.merge_set:
        known = {_go(item) for item in old}
        merged = old + [item for item in new if _go(item) not in known]
        return _arrange(list({_go(item): item for item in merged}.values()), order, old, _go)
    return [_without_directives(item) for item in new]


def _merge_keyed(old: list[Any], new: list[Any], rule: FieldRule, order: list[Any]) -> list[Any]:
    identity = _identity(rule)
    kept, plain, replace = _special_elements(old, new, rule)
    if replace:
        return plain
    merged: dict[str, Any] = {}
    for position, item in enumerate(kept):
        # Elements may share a merge key (port 53 of UDP and TCP); only the first is addressed by it.
        identified = identity(item)
        merged[identified if identified not in merged else f"{identified}#{position}"] = item
    for item in plain:
        identified = identity(item)
        merged[identified] = _merge_object(merged.get(identified, {}), item, rule.struct)
    return _arrange(list(merged.values()), plain if order is new else order, old, identity)


def _special_elements(old: list[Any], new: list[Any], rule: FieldRule) -> tuple[list[Any], list[Any], bool]:
    """(old elements that are not deleted, patch elements without directives, whether the list is replaced)"""
    identity = _identity(rule)
    plain: list[Any] = []
    deleted: set[str] = set()
    replace = False
    for item in new:
        if not isinstance(item, dict):
            raise _failed(f"map: {_go(item)} does not contain declared merge key: {rule.merge_key}")
        match item.get(DIRECTIVE):
            case None:
                identity(item)
                plain.append(item)
            case "delete":
                deleted.add(identity(item))
            case "replace":
                replace = True
                rest = {key: value for key, value in item.items() if key != DIRECTIVE}
                plain += [rest] if rest else []
            case "merge":
                rest = {key: value for key, value in item.items() if key != DIRECTIVE}
                plain += [rest] if rest else []
            case other:
                raise _failed(f"unknown patch type: {_go(other)} in map: {_go(item)}")
    return [item for item in old if identity(item) not in deleted], plain, replace


def _identity(rule: FieldRule) -> Identity:
    """What makes two elements of the list the same."""
    if not rule.merge_key:
        return _go

    def identify(item: Any) -> str:
        if not isinstance(item, dict) or rule.merge_key not in item:
            raise _failed(f"map: {_go(item)} does not contain declared merge key: {rule.merge_key}")
        return _go(item[rule.merge_key])

    return identify


def _arrange(items: list[Any], order: Sequence[Any], server_order: Sequence[Any], identity: Identity) -> list[Any]:
    """Elements named in `order` in that order, woven into the others, which keep the server's order."""
    wanted = {identity(item): position for position, item in reversed(list(enumerate(order)))}
    before = {identity(item): position for position, item in reversed(list(enumerate(server_order)))}
    named = sorted((item for item in items if identity(item) in wanted), key=lambda item: wanted[identity(item)])
    others = [item for item in items if identity(item) not in wanted]
    woven: list[Any] = []
    left = 0
    for item in named:
        place = before.get(identity(item), -1)
        while left < len(others) and before.get(identity(others[left]), -1) < place:
            woven.append(others[left])
            left += 1
        woven.append(item)
    return woven + others[left:]


def _delete_scalars(merged: Object, name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise BadRequest("invalid patch format of primitive list")
    old = merged.get(name)
    if isinstance(old, list):
        gone = {_go(value) for value in values}
        merged[name] = [item for item in old if _go(item) not in gone]


def _without_directives(value: Any) -> Any:
    """A value that is taken over as it is: directives and nulls of its objects go."""
    if isinstance(value, list):
        return [_without_directives(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_directives(item)
        for key, item in value.items()
        if item is not None
        and key != DIRECTIVE
        and key != RETAIN_KEYS
        and not key.startswith((ORDER_PREFIX, DELETE_PREFIX))
    }


def _go(value: Any) -> str:
    """A value as Go prints it: `map[image:x]`. Also the identity of scalars, as upstream compares them."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _failed(message: str) -> ApiError:
    """Upstream answers such patches with a bare 500."""
    return ApiError(message, code=500)
