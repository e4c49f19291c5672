"""Questions about oneself: who am I, and may I. Answered, never stored.

Authorisation does not look at single resources yet, so neither does the answer.
"""

from typing import Any

import msgspec

from master.api.decode import parse_text
from master.api.status import ApiError
from master.api.wire.json_text import SyntaxFault
from master.apiserver import authz, errors
from master.apiserver.negotiation import PLAIN, Form
from master.apiserver.request import Request
from master.apiserver.responses import Response, shaped
from master.apiserver.writeoptions import read_body


async def review(request: Request, group: str, resource: str, form: Form) -> Response:
    if form.shape != PLAIN:
        raise errors.no_such_shape()
    spec = _spec(await read_body(request), request.header(b"content-type"))
    allowed = authz.is_trusted(request.user)
    status: dict[str, Any]
    match resource:
        case "selfsubjectreviews":
            kind = "SelfSubjectReview"
            status = {"userInfo": {"username": request.user.name, "groups": list(request.user.groups)}}
        case "selfsubjectaccessreviews":
            kind, status = "SelfSubjectAccessReview", {"allowed": allowed}
        case _:
            kind = "SelfSubjectRulesReview"
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
            status = {
                "resourceRules": [everything] if allowed else [],
                "nonResourceRules": [paths] if allowed else [],
                "incomplete": False,
            }
    tree: dict[str, Any] = {"kind": kind, "apiVersion": f"{group}/v1", "metadata": {"creationTimestamp": None}}
    if resource != "selfsubjectreviews":
        tree["spec"] = spec
    return shaped(form, msgspec.json.encode({**tree, "status": status}), 201)


def _spec(body: bytes, content_type: str) -> dict[str, Any]:
    """What was asked, to be said again; protobuf bodies of reviews are not taken apart, for the answer is the same."""
    try:
        tree, _ = parse_text(body, content_type or None)
    except (SyntaxFault, ApiError):
        return {}
    spec = tree.get("spec") if isinstance(tree, dict) else None
    return spec if isinstance(spec, dict) else {}
