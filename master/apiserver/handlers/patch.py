"""PATCH: the patch applied to the stored tree, then everything that an update goes through, as often as needed."""

from collections.abc import Callable
from typing import Any

import msgspec

from master.api.decode import decode_tree
from master.api.scheme import ResourceInfo
from master.api.status import BadRequest, FieldError, Invalid
from master.apiserver import errors
from master.apiserver.context import Context
from master.apiserver.handlers.objects import write_of
from master.apiserver.handlers.write import update
from master.apiserver.negotiation import Form
from master.apiserver.patch import json_patch, merge, strategic
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response, shaped
from master.apiserver.views import view_of
from master.apiserver.writeoptions import check_options, read_body, warn

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

Tree = dict[str, Any]
Patcher = Callable[[Tree], Tree]


def media_type(request: Request) -> str:
    return request.header(b"content-type").partition(";")[0].strip().lower()


def patcher(request: Request, struct: type[msgspec.Struct], body: bytes) -> Patcher:
    """The function that a patch body stands for."""
    kind = media_type(request)
    if kind not in (JSON_PATCH, MERGE, STRATEGIC):
        raise errors.unsupported_patch()
    try:
        patch = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise BadRequest(f"error decoding patch: {_go_words(str(error))}") from error
    if kind == JSON_PATCH:
        return lambda tree: json_patch.apply(tree, patch)
    if kind == MERGE:
        return lambda tree: merge.apply(tree, patch)
    return lambda tree: strategic.apply(tree, patch, struct)


def _go_words(message: str) -> str:
    return "unexpected end of JSON input" if message == "Input data was truncated" else message


async def patch(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    view = view_of(request, info, form, context.env.now)
    kind = media_type(request)
    if kind not in (JSON_PATCH, MERGE, STRATEGIC):
        raise errors.unsupported_patch()
    dry_run = check_options(request, is_apply=kind == APPLY)
    body = await read_body(request)
    apply = patcher(request, info.struct, body)
    write = write_of(context, request, target, info, dry_run=dry_run)
    outcome = await update(write, lambda old: _patched(request, info, apply, old, body))
    request.warnings[:] = dict.fromkeys(request.warnings)
    return shaped(form, view.one(outcome.entry))


def _patched(request: Request, info: ResourceInfo, apply: Patcher, old: Any, body: bytes) -> Any:
    tree = apply(msgspec.json.decode(info.encode(old)))
    if not isinstance(tree, dict):
        raise BadRequest("the patch leaves no object")
    decoded = decode_tree(info, tree)
    if decoded.findings:
        if request.param("fieldValidation") == "Strict":
            why = f"strict decoding error: {', '.join(decoded.findings)}"
            problem = FieldError.invalid("patch", body.decode("utf-8", "replace"), why)
            raise Invalid.of("", target_name(old), [problem])
        warn(request, decoded.findings)
    return decoded.object


def target_name(obj: Any) -> str:
    name: str = obj.metadata.name
    return name
