"""What goes back from resources: whole answers as bytes, and Status objects."""

from collections.abc import Sequence

import msgspec
import yaml

from master.api.meta import Status
from master.apiserver.negotiation import YAML, Form
from master.apiserver.request import Request

JSON_TYPE = b"application/json"
CHUNK_BYTES = 256 * 1024
"""Bodies above this go out in chunks, so that one large list does not hold the loop or the transport for long."""

Headers = list[tuple[bytes, bytes]]


class Response:
    """A complete answer. `parts` are joined lazily: a list is thousands of ready byte strings."""

    __slots__ = ("content_type", "headers", "parts", "status")

    def __init__(
        self,
        parts: Sequence[bytes] | bytes,
        status: int = 200,
        content_type: bytes = JSON_TYPE,
        headers: Headers | None = None,
    ) -> None:
        self.parts: Sequence[bytes] = (parts,) if isinstance(parts, bytes) else parts
        self.status = status
        self.content_type = content_type
        self.headers: Headers = headers or []


def shaped(form: Form, body: bytes, status: int = 200) -> Response:
    """JSON bytes in the media type that was negotiated."""
    if form.media_type == YAML:
        tree = msgspec.json.decode(body)
        text_body = yaml.dump(tree, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True)
        return Response(text_body.encode(), status, b"application/yaml")
    return Response(body, status)


def status_bytes(status: Status) -> bytes:
    """A Status as upstream writes it: kind first, `metadata` always there."""
    tree = {"kind": "Status", "apiVersion": "v1", "metadata": {}, **msgspec.to_builtins(status)}
    tree["kind"], tree["apiVersion"] = "Status", "v1"
    return msgspec.json.encode(tree)


def success(name: str, group: str, resource: str, uid: str, code: int = 200) -> Response:
    """The Status that answers a finished deletion."""
    details = {"name": name, "group": group, "kind": resource, "uid": uid}
    tree = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return Response(msgspec.json.encode({**tree, "details": {k: v for k, v in details.items() if v}}), code)


def _warnings(request: Request) -> Headers:
    headers: Headers = []
    for warning in dict.fromkeys(request.warnings):
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
        headers.append((b"warning", f'299 - "{quoted}"'.encode("ascii", "replace")))
    return headers


async def send_response(request: Request, response: Response) -> None:
    headers = _warnings(request) + response.headers
    if response.content_type:
        headers.append((b"content-type", response.content_type))
    total = sum(map(len, response.parts))
    if response.status not in (204, 304):
        headers.append((b"content-length", b"%d" % total))
    await request.send({"type": "http.response.start", "status": response.status, "headers": headers})
    pending: list[bytes] = []
    size = 0
    if total > CHUNK_BYTES:
        for part in response.parts:
            pending.append(part)
            size += len(part)
            if size >= CHUNK_BYTES:
                await request.send({"type": "http.response.body", "body": b"".join(pending), "more_body": True})
                pending, size = [], 0
    else:
        pending = list(response.parts)
    await request.send({"type": "http.response.body", "body": b"".join(pending), "more_body": False})
