"""One HTTP request, taken apart: path, query, headers, user, and what resource it is about."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from starlette.types import Receive, Scope, Send

from master.api.scheme import SCHEME, ResourceInfo
from master.apiserver.authn import ANONYMOUS, User

FALSE_WORDS = frozenset({"0", "f", "false"})


@dataclass(slots=True, frozen=True)
class Target:
    """What a resource path names. `info` is None when the group version is served but the resource is not."""

    group: str
    version: str
    resource: str
    info: ResourceInfo | None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    subpath: str = ""


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[bytes, bytes]
    user: User
    scope: Scope
    receive: Receive
    send: Send
    audit_id: str = ""
    warnings: list[str] = field(default_factory=list)

    def param(self, name: str) -> str:
        values = self.query.get(name)
        return values[0] if values else ""

    def flag(self, name: str) -> bool:
        """A boolean parameter; present without a value counts as true, as Go's decoder has it."""
        values = self.query.get(name)
        return values is not None and parse_bool(values[0])

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


def parse_bool(text: str) -> bool:
    """A boolean in a query: all but Go's words for false is true, in any case (Python clients send `True`)."""
    return text.lower() not in FALSE_WORDS


def parse_request(scope: Scope, receive: Receive, send: Send) -> Request:
    headers: dict[bytes, bytes] = {}
    for key, value in scope["headers"]:
        headers[key] = headers[key] + b"," + value if key in headers else value
    query: dict[str, list[str]] = {}
    raw_query = scope["query_string"]
    if raw_query:
        for name, text in parse_qsl(raw_query.decode("latin-1"), keep_blank_values=True):
            query.setdefault(name, []).append(text)
    user = scope.get("state", {}).get("user", ANONYMOUS)
    return Request(scope.get("method", "GET"), scope["path"], query, headers, user, scope, receive, send)


def raw_segments(scope: Scope) -> list[str]:
    """Path segments, split before unquoting, so that a quoted slash stays inside its name."""
    raw = scope.get("raw_path") or scope["path"].encode()
    return [unquote(part) for part in raw.decode("latin-1").split("/") if part]


def parse_target(segments: list[str]) -> Target | None:
    """The resource that a path names; None for every other path (discovery, health, unknown group versions)."""
    if len(segments) >= 3 and segments[0] == "api":
        group, version, rest = "", segments[1], segments[2:]
    elif len(segments) >= 4 and segments[0] == "apis":
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return None
    if not SCHEME_VERSIONS.has(group, version):
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (group == "" and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = rest[0], *[*rest[1:3], "", ""][:2]
    info = SCHEME.by_resource(group, version, resource)
    if info is not None and info.namespaced and name and not namespace:
        info = None
    if info is not None and not info.namespaced and namespace:
        info = None
    return Target(group, version, resource, info, namespace, name, subresource, "/".join(rest[3:]))


class _Versions:
    """The group versions that the scheme serves, and those of virtual resources that are not stored."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] | None = None

    def has(self, group: str, version: str) -> bool:
        if self._known is None:
            self._known = {(info.group, info.version) for info in SCHEME.all()}
            self._known |= VIRTUAL_VERSIONS
        return (group, version) in self._known


VIRTUAL_VERSIONS = {("authentication.k8s.io", "v1"), ("authorization.k8s.io", "v1")}
"""Group versions whose resources are answered, never stored: reviews."""
SCHEME_VERSIONS = _Versions()
