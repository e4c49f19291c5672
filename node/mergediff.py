"""The smallest merge patch (RFC 7396) that turns one JSON tree into another. Pure."""

from typing import Any

Tree = dict[str, Any]


def merge_diff(old: Tree, new: Tree) -> Tree:
    """Lists are replaced whole, keys that are gone become null; empty when nothing differs."""
    patch: Tree = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if value == before and key in old:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            patch[key] = merge_diff(before, value)
        else:
            patch[key] = value
    return patch
