"""Who is asking: the verified client certificate's common name is the user, its organisations are the groups."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from master.api.status import Unauthorized

AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"


class User(NamedTuple):
    name: str
    groups: tuple[str, ...]

    @property
    def is_anonymous(self) -> bool:
        return self.name == ANONYMOUS.name


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def user_of_certificate(certificate: dict[str, Any] | None) -> User:
    """The user of `ssl.SSLSocket.getpeercert()`'s answer; TLS has verified the certificate's chain already."""
    if not certificate:
        return ANONYMOUS
    name, groups = "", []
    for rdn in certificate.get("subject", ()):
        for key, value in rdn:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, AUTHENTICATED)) if name else ANONYMOUS


def refuse_token(headers: Mapping[bytes, bytes]) -> None:
    """Tokens are not known yet, and a bad token is never anonymous."""
    if b"authorization" in headers:
        raise Unauthorized("Unauthorized")
