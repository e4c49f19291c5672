"""JSON merge patch (RFC 7396): objects merge, null deletes, everything else replaces."""

from typing import Any

from master.api.status import BadRequest


def apply(tree: Any, patch: Any) -> Any:
    """The patched tree; unchanged parts are shared with the arguments. BadRequest when the patch is no object."""
    if not isinstance(patch, dict):
        word = {list: "array", str: "string", bool: "bool"}.get(type(patch), "number")
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"
        )
    return _merge(tree, patch)


def _merge(tree: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
