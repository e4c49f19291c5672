"""The query of a write: dryRun, fieldValidation, fieldManager, force; and the body itself, bounded."""

from typing import Any

from master.api.decode import decode, strict_error
from master.api.meta import DeleteOptions
from master.api.scheme import ResourceInfo
from master.api.status import BadRequest, FieldError
from master.apiserver import errors
from master.apiserver.request import Request

VALIDATIONS = ("", "Ignore", "Strict", "Warn")
OPTION_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}
WARNINGS_MAX = 50
"""Warning headers of one answer; a hostile body has more unknown fields than a client's header buffer has room."""


async def read_body(request: Request) -> bytes:
    """The whole body; 413 above the limit, before more than the limit is held."""
    length = request.header(b"content-length")
    if length.isdecimal() and int(length) > errors.BODY_LIMIT_BYTES:
        raise errors.too_large()
    parts: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the client went away before it had sent its request")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > errors.BODY_LIMIT_BYTES:
            raise errors.too_large()
        if not message.get("more_body", False):
            return b"".join(parts)


def check_options(request: Request, *, is_apply: bool = False) -> bool:
    """Judge the query of a write; True for a dry run."""
    kind = OPTION_KINDS[request.method]
    problems: list[FieldError] = []
    dry_run = [value for value in request.query.get("dryRun", ()) if value]
    if dry_run and dry_run != ["All"]:
        problems.append(FieldError.not_supported("dryRun", dry_run, ["All"]))
    if request.method == "PATCH" and "force" in request.query and not is_apply:
        problems.append(FieldError.forbidden("force", "may not be specified for non-apply patch"))
    if request.method == "PATCH" and is_apply and not request.param("fieldManager"):
        problems.append(FieldError.required("fieldManager", "is required for apply patch"))
    if request.method != "DELETE" and request.param("fieldValidation") not in VALIDATIONS:
        validation = request.param("fieldValidation")
        problems.append(FieldError.not_supported("fieldValidation", validation, VALIDATIONS))
    if problems:
        raise errors.invalid_options(kind, problems)
    return bool(dry_run)


def decode_object(request: Request, info: ResourceInfo, body: bytes) -> Any:
    """The object in a body; findings are refused, warned of or ignored as `fieldValidation` says."""
    decoded = decode(info, body, request.header(b"content-type") or None)
    if decoded.findings:
        validation = request.param("fieldValidation")
        if validation == "Strict":
            raise strict_error(info, decoded.findings)
        warn(request, decoded.findings)
    return decoded.object


def warn(request: Request, findings: list[str]) -> None:
    if request.param("fieldValidation") != "Ignore":
        request.warnings.extend(findings[: WARNINGS_MAX - len(request.warnings)])


def query_delete_options(request: Request) -> DeleteOptions:
    """DeleteOptions out of the query, for deletions without a body."""
    options = DeleteOptions()
    grace = request.param("gracePeriodSeconds")
    if grace:
        try:
            options.grace_period_seconds = int(grace)
        except ValueError as error:
            raise BadRequest(f'strconv.ParseInt: parsing "{grace}": invalid syntax') from error
    if request.param("propagationPolicy"):
        options.propagation_policy = request.param("propagationPolicy")
    if "orphanDependents" in request.query:
        options.orphan_dependents = request.flag("orphanDependents")
    return options
