"""PATCH: the patch applied to the stored tree, then everything that an update goes through, as often as needed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from master.api.decode import decode_tree, parse_text
from master.api.scheme import ResourceInfo
from master.api.status import BadRequest, FieldError, Invalid
from master.api.wire.json_text import SyntaxFault
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


class Patcher(NamedTuple):
    """The function that a patch body stands for, and what is wrong with the body besides."""

    apply: Callable[[Tree], Tree]
    findings: list[str]


def media_type(request: Request) -> str:
    return request.header(b"content-type").partition(";")[0].strip().lower()


def patcher(request: Request, struct: type[msgspec.Struct], body: bytes) -> Patcher:
    kind = media_type(request)
    if kind not in (JSON_PATCH, MERGE, STRATEGIC):
        raise errors.unsupported_patch()
    try:
        patch, findings = parse_text(body)
    except SyntaxFault as fault:
        raise BadRequest(f"error decoding patch: {fault}") from None
    if kind == JSON_PATCH:
        return Patcher(lambda tree: json_patch.apply(tree, patch), [f"json patch {finding}" for finding in findings])
    if kind == MERGE:
        return Patcher(lambda tree: merge.apply(tree, patch), findings)
    return Patcher(lambda tree: strategic.apply(tree, patch, struct), findings)


def patched(request: Request, info: ResourceInfo, patcher: Patcher, tree: Tree, body: bytes) -> Any:
    """The object that a patch makes of a tree; findings are refused, warned of or ignored as `fieldValidation` says."""
    result = patcher.apply(tree)
    if not isinstance(result, dict):
        raise BadRequest("the patch leaves no object")
    decoded = decode_tree(info, result)
    findings = patcher.findings + decoded.findings
    if findings and request.param("fieldValidation") == "Strict":
        why = f"strict decoding error: {', '.join(findings)}"
        problem = FieldError.invalid("patch", body.decode("utf-8", "replace"), why)
        raise Invalid.of("", tree["metadata"]["name"], [problem])
    warn(request, findings)
    return decoded.object


async def patch(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    view = view_of(request, info, form, context.env.now)
    kind = media_type(request)
    if kind not in (JSON_PATCH, MERGE, STRATEGIC):
        raise errors.unsupported_patch()
    dry_run = check_options(request, is_apply=kind == APPLY)
    body = await read_body(request)
    wanted = patcher(request, info.struct, body)
    write = write_of(context, request, target, info, dry_run=dry_run)
    outcome = await update(write, lambda old: patched(request, info, wanted, _tree(info, old), body))
    return shaped(form, view.one(outcome.entry))


def _tree(info: ResourceInfo, obj: Any) -> Tree:
    tree: Tree = msgspec.json.decode(info.encode(obj))
    return tree
