"""What goes wrong is told in kubectl's words, on stderr, and ends with exit code 1."""

import re

from master.api.status import ApiError
from master.client.errors import Unreachable


class CommandError(Exception):
    """Something the user can act on; printed as `error: …`."""


def explain(error: ApiError, action: str = "") -> str:
    """The line(s) kubectl would print; `action` such as `error when creating "web.yaml"` goes before the message."""
    if error.code == 401:
        return "error: You must be logged in to the server (Unauthorized)"
    if isinstance(error, Unreachable):
        return f"Unable to connect to the server: {error.message}"
    prefix = f"{action}: " if action else ""
    if error.reason == "Invalid" and error.causes:
        return _invalid(error)
    if error.reason:
        return f"Error from server ({error.reason}): {prefix}{error.message}"
    return f"Error from server: {prefix}{error.message}"


def _invalid(error: ApiError) -> str:
    details = error.details
    kind = details.kind if details else ""
    if details and details.group:
        kind = f"{kind}.{details.group}" if "." not in kind else kind
    name = details.name if details else ""
    causes = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in error.causes))
    subject = f'The {re.sub(r"[.].*", "", kind)} "{name}" is invalid: '
    if len(causes) == 1:
        return subject + causes[0]
    return "\n".join([subject, *(f"* {cause}" for cause in causes)])
