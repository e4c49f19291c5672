"""The wording of the API server's own refusals, as clients know it from Kubernetes.

Object errors with fields come from `master.api.status`; here stand the ones that concern requests.
"""

from master.api import status
from master.api.meta import Status, StatusCause, StatusDetails
from master.api.scheme import ResourceInfo
from master.api.status import ApiError, FieldError
from master.api.tables import META_GROUP
from master.apiserver.authn import User

BODY_LIMIT_BYTES = 3 * 1024 * 1024
"""Kubernetes' limit of a request body; etcd's 1.5 MiB transaction limit was doubled for it."""
MEDIA_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


def make(code: int, reason: str, message: str, details: StatusDetails | None = None) -> ApiError:
    return ApiError.from_status(Status(message=message, reason=reason, details=details, code=code))


def qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def about(info: ResourceInfo, name: str, causes: list[StatusCause] | None = None) -> StatusDetails:
    return StatusDetails(name=name, group=info.group, kind=info.plural, causes=causes or [])


def bad_request(message: str) -> ApiError:
    return make(400, "BadRequest", message)


def plain_500(message: str) -> ApiError:
    """Some upstream errors are no Status inside and come out as a 500 without a reason; clients match the text."""
    return make(500, "", message)


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return make(405, "MethodNotAllowed", message, StatusDetails())


def conflict(info: ResourceInfo, name: str, why: str = status.MODIFIED) -> ApiError:
    return status.Conflict.of(info, name, why)


def kind_conflict(info: ResourceInfo, name: str, why: str) -> ApiError:
    """The conflict of a delete's precondition names the kind where the others name the resource."""
    message = f'Operation cannot be fulfilled on {qualified(info.kind, info.group)} "{name}": {why}'
    return make(409, "Conflict", message, StatusDetails(name=name, group=info.group, kind=info.kind))


def fenced(why: str) -> ApiError:
    cause = StatusCause(reason="Fenced", message=why)
    return make(409, "Conflict", f"the writer's epoch is over: {why}", StatusDetails(causes=[cause]))


def forbidden(info: ResourceInfo, name: str, why: str, causes: list[StatusCause] | None = None) -> ApiError:
    subject = f'{qualified(info.plural, info.group)} "{name}"' if name else qualified(info.plural, info.group)
    return make(403, "Forbidden", f"{subject} is forbidden: {why}", about(info, name, causes))


def forbidden_resource(
    user: User, verb: str, group: str, resource: str, subresource: str, namespace: str, name: str
) -> ApiError:
    what = f"{resource}/{subresource}" if subresource else resource
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    subject = qualified(resource, group) + (f' "{name}"' if name else "")
    message = (
        f'{subject} is forbidden: User "{user.name}" cannot {verb} resource "{what}" in API group "{group}" {where}'
    )
    return make(403, "Forbidden", message, StatusDetails(name=name, group=group, kind=resource))


def forbidden_path(user: User, verb: str, path: str) -> ApiError:
    message = f'forbidden: User "{user.name}" cannot {verb} path "{path}"'
    return make(403, "Forbidden", message, StatusDetails())


def not_acceptable() -> ApiError:
    message = f"406: Not Acceptable\n\nAvailable representations: {MEDIA_TYPES}"
    return make(406, "NotAcceptable", message, StatusDetails())


def no_such_shape(what: str = "") -> ApiError:
    return make(406, "NotAcceptable", what or f"only the following media types are accepted: {MEDIA_TYPES}")


def unsupported_patch() -> ApiError:
    return make(415, "UnsupportedMediaType", "415: Unsupported Media Type", StatusDetails())


def too_large() -> ApiError:
    message = f"Request entity too large: limit is {BODY_LIMIT_BYTES}"
    return make(413, "RequestEntityTooLarge", message, StatusDetails())


def too_many_requests() -> ApiError:
    message = "the server has received too many requests and has asked us to try again later"
    return status.TooManyRequests.of(message, 1)


def unavailable(why: str) -> ApiError:
    return make(503, "ServiceUnavailable", why, StatusDetails(retry_after_seconds=1))


def outcome_unknown(why: str) -> ApiError:
    """The write may or may not have happened; clients tell it from other timeouts by the cause."""
    cause = StatusCause(reason="OutcomeUnknown", message=why)
    message = f"Timeout: the outcome of the write is unknown: {why}"
    return status.OutcomeUnknown(message, details=StatusDetails(causes=[cause]))


def version_too_large(wanted: int, current: int) -> ApiError:
    cause = StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version")
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return make(504, "Timeout", message, StatusDetails(causes=[cause], retry_after_seconds=1))


def expired(message: str) -> ApiError:
    return make(410, "Expired", message)


def gone_from_window(wanted: int, oldest: int) -> Status:
    """What the ERROR event of a watch from a too old version holds."""
    message = f"too old resource version: {wanted} ({oldest})"
    return Status(status="Failure", message=message, reason="Expired", code=410)


def internal(why: str) -> ApiError:
    return status.InternalError.of(why)


def invalid_options(kind: str, errors: list[FieldError]) -> ApiError:
    """Bad query parameters or DeleteOptions."""
    return status.Invalid.of(f"{kind}.{META_GROUP}", "", errors)
