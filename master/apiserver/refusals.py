"""Errors as answers: `ApiError`s rise from anywhere and become a Status here, once."""

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response

from master.api.status import ApiError
from master.apiserver import errors
from master.apiserver.responses import status_bytes


def of_error(error: ApiError) -> Response:
    status = error.status
    response = Response(status_bytes(status), error.code or 500, media_type="application/json")
    if status.details is not None and status.details.retry_after_seconds:
        response.headers["retry-after"] = str(status.details.retry_after_seconds)
    return response


def page_not_found() -> Response:
    """What Go's mux says to paths that nobody serves."""
    return PlainTextResponse("404 page not found\n", 404)


async def refuse(_: HTTPConnection, error: Exception) -> Response:
    """Starlette's handler of `ApiError`, for requests and for WebSockets that are not open yet."""
    assert isinstance(error, ApiError)
    return of_error(error)


async def refuse_method(_: HTTPConnection, __: Exception) -> Response:
    """Starlette's handler of a path that exists, asked with a method that does not."""
    return of_error(errors.method_not_allowed())
