"""OpenAPI documents, as small as clients allow: paths with a patch operation, its kind and its parameters, no schemas.

kubectl looks for `fieldValidation` and for the patch types; what it learns there is that the server validates. Either
complete schemas or none: incomplete ones make kubectl warn about every field that they miss.
"""

import hashlib
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from master.api.scheme import SCHEME, ResourceInfo
from master.apiserver.discovery import group_versions

V2_PROTOBUF = b"\x0a\x03\x32\x2e\x30"
"""A Swagger document in protobuf form that says nothing but `swagger: "2.0"`."""
V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
QUERY_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")


def _operation(info: ResourceInfo, action: str) -> dict[str, Any]:
    gvk = {"group": info.group, "version": info.version, "kind": info.kind}
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "boolean" if name == "force" else "string"}}
        for name in QUERY_PARAMETERS
    ]
    operation: dict[str, Any] = {
        "operationId": f"{action}{info.kind}",
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }
    types = PATCH_TYPES if action == "patch" else ("*/*",)
    operation["requestBody"] = {"content": {name: {"schema": {"type": "object"}} for name in types}, "required": True}
    return operation


@cache
def _document(group: str, version: str) -> bytes:
    paths: dict[str, Any] = {}
    for info in SCHEME.all():
        if (info.group, info.version) != (group, version):
            continue
        collection = info.path("{namespace}").replace("%7Bnamespace%7D", "{namespace}")
        if "create" in info.verbs:
            paths[collection] = {"post": _operation(info, "post")}
        if "patch" in info.verbs:
            paths[f"{collection}/{{name}}"] = {"patch": _operation(info, "patch"), "put": _operation(info, "put")}
    tree = {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": paths}
    return msgspec.json.encode({**tree, "components": {}})


def names() -> dict[str, tuple[str, str]]:
    return {
        (f"apis/{group}/{version}" if group else f"api/{version}"): (group, version)
        for group, versions in group_versions().items()
        for version in versions
    }


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32].upper()


@cache
def _index() -> bytes:
    paths = {
        name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_digest(_document(*version))}"}
        for name, version in names().items()
    }
    return msgspec.json.encode({"paths": paths})


async def index(_: Request) -> Response:
    """`/openapi/v3`"""
    return Response(_index(), media_type="application/json")


async def v3(request: Request) -> Response:
    """The document of one group version."""
    version = names().get(request.path_params["name"])
    if version is None:
        return Response(status_code=404, headers={"content-type": "text/plain"})
    body = _document(*version)
    etag = f'"{_digest(body)}"'
    headers = {"etag": etag, "vary": "Accept", "cache-control": "public, immutable"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def v2(request: Request) -> Response:
    """Protobuf for kubectl and Helm; the JSON form for whoever asks for JSON."""
    if request.headers.get("accept", "").startswith("application/json"):
        tree = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": {}}
        return Response(msgspec.json.encode(tree), media_type="application/json")
    return Response(V2_PROTOBUF, media_type=V2_TYPE)
