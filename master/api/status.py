"""Errors of the API: one exception for every reason a Status may carry, and the field errors behind `Invalid`.

Raise low, translate once at the edge: `error.status` is what a client receives, `ApiError.from_status` is its inverse.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

import msgspec

from master.api.meta import Status, StatusCause, StatusDetails

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class NamedResource(Protocol):
    """What an error needs to know of a resource; `scheme.ResourceInfo` has it."""

    @property
    def group(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def plural(self) -> str: ...


ErrorType = Literal[
    "Required", "Invalid", "NotSupported", "Duplicate", "Forbidden", "TooLong", "TooMany", "NotFound", "TypeInvalid"
]
_WORDS: dict[ErrorType, str] = {
    "Required": "Required value",
    "Invalid": "Invalid value",
    "NotSupported": "Unsupported value",
    "Duplicate": "Duplicate value",
    "Forbidden": "Forbidden",
    "TooLong": "Too long",
    "TooMany": "Too many",
    "NotFound": "Not found",
    "TypeInvalid": "Invalid value",
}


class FieldError(msgspec.Struct, frozen=True):
    """One fault of one field, in the words Kubernetes uses."""

    type: ErrorType
    field: str
    value: Any = None
    detail: str = ""

    @property
    def reason(self) -> str:
        return f"FieldValue{self.type}"

    @property
    def body(self) -> str:
        """The message without the field: `Invalid value: "x": must be …`."""
        text = _WORDS[self.type]
        if self.type not in ("Required", "Forbidden", "TooLong"):
            text += f": {_shown(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"

    @classmethod
    def required(cls, field: str, detail: str = "") -> Self:
        return cls("Required", field, "", detail)

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> Self:
        return cls("Invalid", field, value, detail)

    @classmethod
    def invalid_each(cls, field: str, value: object, faults: Sequence[str]) -> list[Self]:
        """One error for every fault found in a value."""
        return [cls("Invalid", field, value, fault) for fault in faults]

    @classmethod
    def not_supported(cls, field: str, value: object, supported: Sequence[str]) -> Self:
        listed = ", ".join(_shown(choice) for choice in supported)
        return cls("NotSupported", field, value, f"supported values: {listed}" if supported else "")

    @classmethod
    def duplicate(cls, field: str, value: object) -> Self:
        return cls("Duplicate", field, value)

    @classmethod
    def forbidden(cls, field: str, detail: str) -> Self:
        return cls("Forbidden", field, "", detail)

    @classmethod
    def not_found(cls, field: str, value: object) -> Self:
        return cls("NotFound", field, value)

    @classmethod
    def too_long(cls, field: str, value: object, max_bytes: int) -> Self:
        return cls("TooLong", field, value, f"may not be more than {max_bytes} bytes")

    @classmethod
    def too_many(cls, field: str, count: int, max_count: int) -> Self:
        return cls("TooMany", field, count, f"must have at most {max_count} item{'s' if max_count != 1 else ''}")


def _shown(value: object) -> str:
    if value is None:
        return '"null"'
    if isinstance(value, dict):
        value = dict(sorted(value.items()))
    return msgspec.json.encode(value).decode()


class ApiError(Exception):
    """A request that failed, with the Status that says why."""

    code: int = 500
    reason: str = ""

    def __init__(
        self, message: str, *, details: StatusDetails | None = None, code: int | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.code = type(self).code if code is None else code
        self.reason = type(self).reason if reason is None else reason

    @property
    def status(self) -> Status:
        return Status(
            kind="Status",
            api_version="v1",
            status="Failure",
            message=self.message,
            reason=self.reason,
            details=self.details,
            code=self.code,
        )

    @property
    def retry_after_s(self) -> int:
        return self.details.retry_after_seconds if self.details else 0

    @property
    def causes(self) -> list[StatusCause]:
        return self.details.causes if self.details else []

    @staticmethod
    def from_status(status: Status) -> "ApiError":
        """The exception of a Status: by its reason, else by its code."""
        kind = _BY_REASON.get(status.reason) or _BY_CODE.get(status.code, ApiError)
        error = kind(status.message, details=status.details, code=status.code or kind.code, reason=status.reason)
        return error


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized", **parts: Any) -> None:
        super().__init__(message, **parts)


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"

    @classmethod
    def of(cls, resource: NamedResource | str, name: str, detail: str) -> Self:
        """`pods "x" is forbidden: <detail>`; without a name only the resource."""
        subject = f'{_qualified(resource)} "{name}"' if name else _qualified(resource)
        return cls(f"{subject} is forbidden: {detail}", details=_details(resource, name))


class NotFound(ApiError):
    code, reason = 404, "NotFound"

    @classmethod
    def of(cls, resource: NamedResource | str, name: str) -> Self:
        return cls(f'{_qualified(resource)} "{name}" not found', details=_details(resource, name))

    @classmethod
    def unknown_resource(cls) -> Self:
        return cls("the server could not find the requested resource", details=StatusDetails())


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"

    @classmethod
    def of(cls, resource: NamedResource | str, action: str) -> Self:
        message = f'{action} is not supported on resources of kind "{_qualified(resource)}"'
        return cls(message, details=_details(resource, ""))


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"

    @classmethod
    def of(cls, resource: NamedResource | str, name: str) -> Self:
        return cls(f'{_qualified(resource)} "{name}" already exists', details=_details(resource, name))


class Conflict(ApiError):
    code, reason = 409, "Conflict"

    @classmethod
    def of(cls, resource: NamedResource | str, name: str, detail: str = MODIFIED) -> Self:
        message = f'Operation cannot be fulfilled on {_qualified(resource)} "{name}": {detail}'
        return cls(message, details=_details(resource, name))


class Expired(ApiError):
    code, reason = 410, "Expired"


class TooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"

    @classmethod
    def of(cls, limit_bytes: int) -> Self:
        return cls(f"Request entity too large: limit is {limit_bytes}")


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"

    @classmethod
    def of(cls, kind: NamedResource | str, name: str, errors: Sequence[FieldError]) -> Self:
        """`Pod "x" is invalid: …`; a text kind may carry its group: `Deployment.apps`."""
        text = kind if isinstance(kind, str) else f"{kind.kind}.{kind.group}".rstrip(".")
        bare, _, group = text.partition(".")
        texts = list(dict.fromkeys(str(error) for error in errors))
        joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        causes = [StatusCause(reason=error.reason, message=error.body, field=error.field) for error in errors]
        details = StatusDetails(name=name, group=group, kind=bare, causes=causes)
        return cls(f'{text} "{name}" is invalid: {joined}', details=details)


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"

    @classmethod
    def of(cls, message: str, retry_after_s: int) -> Self:
        return cls(message, details=StatusDetails(retry_after_seconds=retry_after_s))


class InternalError(ApiError):
    code, reason = 500, "InternalError"

    @classmethod
    def of(cls, cause: str) -> Self:
        details = StatusDetails(causes=[StatusCause(message=cause)])
        return cls(f"Internal error occurred: {cause}", details=details)


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


class OutcomeUnknown(ApiError):
    """The write may or may not have happened: its own type, never folded into failure."""

    code, reason = 504, "Timeout"


def _qualified(resource: NamedResource | str) -> str:
    if isinstance(resource, str):
        return resource
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _details(resource: NamedResource | str, name: str) -> StatusDetails:
    plural, _, group = _qualified(resource).partition(".")
    return StatusDetails(name=name, group=group, kind=plural)


_KINDS: tuple[type[ApiError], ...] = (
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    AlreadyExists,
    Conflict,
    Expired,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
    Timeout,
)
_BY_REASON: Mapping[str, type[ApiError]] = {kind.reason: kind for kind in _KINDS} | {"Gone": Expired}
_BY_CODE: Mapping[int, type[ApiError]] = {kind.code: kind for kind in reversed(_KINDS) if kind is not AlreadyExists}
