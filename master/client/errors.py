"""What went wrong, told in the API's own terms: from an answer's body, or from the lack of an answer."""

import msgspec

from master.api.meta import Status, StatusDetails
from master.api.status import ApiError, OutcomeUnknown

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "Timeout",
}
MAX_TEXT = 1024
"""Of a body that is no Status only this much is shown: it may be a proxy's whole error page."""

_decode_status = msgspec.json.Decoder(Status).decode


def status_error(code: int, body: bytes) -> ApiError:
    """The exception for an answer of 400 or above, whether its body is a Status or not."""
    try:
        status = _decode_status(body)
    except msgspec.MsgspecError:
        status = Status()
    if status.kind != "Status":
        text = body[:MAX_TEXT].decode(errors="replace").strip()
        status = _failure(code, REASONS.get(code, "InternalError"), text or f"the server answered {code}")
    return ApiError.from_status(status)


def unreachable(url: str, error: Exception) -> ApiError:
    """No answer, and certainly nothing was changed."""
    return ApiError.from_status(_failure(503, "ServiceUnavailable", f"{url}: {describe(error)}"))


def outcome_unknown(method: str, path: str, url: str, error: Exception) -> OutcomeUnknown:
    """The request was sent and no answer came: it may or may not have been carried out."""
    message = f"{method} {path} was sent to {url}, which gave no answer ({describe(error)}); it may have been done"
    return OutcomeUnknown(_failure(504, "Timeout", message))


def is_certain(error: ApiError) -> bool:
    """Whether a refused write was certainly not carried out."""
    return not isinstance(error, OutcomeUnknown)


def retry_after_s(error: ApiError) -> float:
    """The pause that the server asked for."""
    return error.status.details.retry_after_seconds if error.status.details else 0.0


def describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def _failure(code: int, reason: str, message: str) -> Status:
    return Status(
        api_version="v1",
        kind="Status",
        status="Failure",
        code=code,
        reason=reason,
        message=message,
        details=StatusDetails(),
    )
