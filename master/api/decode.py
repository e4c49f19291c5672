"""The bodies of clients as objects: JSON, YAML or protobuf, judged, defaulted, with Kubernetes' error texts.

`decode` for whole bodies, `decode_tree` for the result of a patch. Findings are what `fieldValidation` is about:
`unknown field "spec.foo"`, `duplicate field "spec.replicas"`; the caller refuses (Strict), warns or stays silent.
"""

from typing import Any, NamedTuple, TypeVar

import msgspec

from master.api import protobuf
from master.api.meta import Object
from master.api.resource import ResourceInfo
from master.api.scheme import SCHEME
from master.api.status import BadRequest, UnsupportedMediaType
from master.api.wire.json_text import SyntaxFault, parse_json
from master.api.wire.shape import ShapeFault, check_shape
from master.api.wire.yaml_text import parse_yaml

T = TypeVar("T", bound=msgspec.Struct)

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)

_SUMMARY_MAX = 30  # bytes of a broken body that are shown, as upstream
_INTERPRET_TYPE = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


class Decoded(NamedTuple):
    object: Any
    findings: list[str]


class _Text(NamedTuple):
    tree: Any
    findings: list[str]


def media_type_of(content_type: str | None) -> str:
    """The media type of a request body; absent means JSON. UnsupportedMediaType for anything we cannot read."""
    media_type = (content_type or JSON).partition(";")[0].strip().lower()
    if media_type not in ACCEPTED:
        accepted = ", ".join(ACCEPTED)
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    return media_type


def decode(info: ResourceInfo, body: bytes, content_type: str | None = JSON) -> Decoded:
    """An object of the resource's kind out of a request body, with its defaults. BadRequest when it is none."""
    text = _parse(info.kind, body, media_type_of(content_type))
    return _decode(info, text)


def decode_tree(info: ResourceInfo, tree: dict[str, Any]) -> Decoded:
    """The same for a tree, such as the result of a patch."""
    return _decode(info, _Text(tree, []))


def decode_options(struct: type[T], body: bytes, content_type: str | None = JSON) -> T:
    """A small message that is no resource, such as DeleteOptions, whatever kind and apiVersion it claims."""
    kind = struct.__name__
    text = _parse(kind, body, media_type_of(content_type))
    return msgspec.convert(_shape(struct, kind, _version_of(text.tree), text.tree).tree, struct)


def parse_text(body: bytes, content_type: str | None = JSON) -> tuple[Any, list[str]]:
    """(tree, findings) of any JSON or YAML text, without judging fields. SyntaxFault when it does not parse."""
    tree, duplicates = parse_yaml(body) if media_type_of(content_type) == YAML else parse_json(body)
    return tree, [f'duplicate field "{path}"' for path in duplicates]


def strict_error(info: ResourceInfo, findings: list[str]) -> BadRequest:
    """The refusal of `fieldValidation=Strict`."""
    return _cannot_be_handled(info.kind, info.version, info.kind, f"strict decoding error: {', '.join(findings)}")


def _parse(kind: str, body: bytes, media_type: str) -> _Text:
    if media_type == PROTOBUF:
        try:
            return _Text(protobuf.decode(body), [])
        except protobuf.ProtobufFault as fault:
            raise _unrecognized(kind, str(fault), body) from None
    try:
        tree, findings = parse_text(body, media_type)
    except SyntaxFault as fault:
        prefix = "couldn't get version/kind; json parse error: " if media_type == JSON else ""
        raise _unrecognized(kind, f"{prefix}{fault}", body) from None
    if not isinstance(tree, dict):
        word = {str: "string", list: "array", bool: "bool"}.get(type(tree), "number")
        detail = f"json: cannot unmarshal {word} into Go value of type {_INTERPRET_TYPE}"
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {detail}", body)
    return _Text(tree, findings)


def _unrecognized(kind: str, detail: str, body: bytes) -> BadRequest:
    shown: str = body[:_SUMMARY_MAX].decode("utf-8", "replace") if body[:1] == b"{" else body[:_SUMMARY_MAX].hex()
    shown = shown + " ..." if len(body) > _SUMMARY_MAX else shown or "<empty>"
    return BadRequest(f"the object provided is unrecognized (must be of type {kind}): {detail} ({shown})")


def _decode(info: ResourceInfo, text: _Text) -> Decoded:
    _check_kind(info, text.tree)
    shaped = _shape(info.struct, info.kind, info.version, text.tree)
    obj: Object = msgspec.convert(shaped.tree, info.struct)
    obj.kind, obj.api_version = info.kind, info.api_version
    # Defaults come before everything else, so that comparisons with the stored object see what would be stored.
    return Decoded(info.default(obj), shaped.findings + text.findings)


def _shape(struct: type[msgspec.Struct], kind: str, version: str, tree: Any) -> _Text:
    try:
        return _Text(*check_shape(struct, tree))
    except ShapeFault as fault:
        raise _cannot_be_handled(kind, version, kind, str(fault)) from None


def _cannot_be_handled(kind: str, version: str, wanted: str, detail: str) -> BadRequest:
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {wanted}: {detail}')


def _version_of(tree: Any) -> str:
    api_version = tree.get("apiVersion") if isinstance(tree, dict) else None
    return api_version.rpartition("/")[2] if isinstance(api_version, str) and api_version else "v1"


def _check_kind(info: ResourceInfo, tree: dict[str, Any]) -> None:
    """Kind and apiVersion may be missing (the URL tells them); if they are there they must fit."""
    kind, api_version = tree.get("kind") or info.kind, tree.get("apiVersion") or info.api_version
    if kind == info.kind and api_version == info.api_version:
        return
    for value, field in ((kind, "Kind"), (api_version, "APIVersion")):
        if not isinstance(value, str):
            word = "bool" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "object"
            raise _cannot_be_handled(
                info.kind, info.version, info.kind, f"json: cannot unmarshal {word} into Go struct field .{field}"
            )
    group, _, version = api_version.rpartition("/")
    other = SCHEME.by_kind(group, version, kind)
    if other is None:
        detail = (
            f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
        )
    elif api_version != info.api_version:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version ({info.api_version})"
        )
    else:
        package = info.group.partition(".")[0] or "core"
        detail = f"converting ({version}.{kind}) to ({package}.{info.kind}): unknown conversion"
    raise _cannot_be_handled(kind, version, info.kind, detail)
