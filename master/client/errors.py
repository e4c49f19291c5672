"""What went wrong, told in the API's own terms: from an answer's body, or from the lack of an answer."""

import msgspec

from master.api.meta import Status
from master.api.status import ApiError, OutcomeUnknown, ServiceUnavailable

MAX_TEXT = 1024
"""Of a body that is no Status only this much is shown: it may be a proxy's whole error page."""

_decode_status = msgspec.json.Decoder(Status).decode


def status_in(body: bytes) -> Status | None:
    """What an API server says of its refusal; None when the body is not its own word."""
    try:
        status = _decode_status(body)
    except msgspec.MsgspecError:
        return None
    return status if status.kind == "Status" else None


def status_error(code: int, body: bytes) -> ApiError:
    """The exception for an answer of 400 or above, whether its body is a Status or not."""
    status = status_in(body)
    if status is None:
        text = body[:MAX_TEXT].decode(errors="replace").strip()
        status = Status(kind="Status", code=code, message=text or f"the server answered {code}")
        error = ApiError.from_status(status)
        error.reason = type(error).reason
        return error
    return ApiError.from_status(status)


class Unreachable(ServiceUnavailable):
    """No server answered at all, and certainly nothing was changed."""


def unreachable(url: str, error: Exception) -> Unreachable:
    return Unreachable(f"{url}: {describe(error)}")


def outcome_unknown(method: str, path: str, detail: str) -> OutcomeUnknown:
    """The request was sent and its outcome is not known: it may or may not have been carried out."""
    return OutcomeUnknown(f"{method} {path} may or may not have been done: {detail}")


def describe(error: Exception) -> str:
    return str(error) or type(error).__name__
