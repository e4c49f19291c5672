"""What this server serves, in every form in which clients ask for it: plain, aggregated v2 and v2beta1.

The documents are made once: the scheme does not change while the server runs. The answer must have exactly the form
that the Accept header names, because a client decides by the answer's content type how to read it.
"""

import hashlib
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from master.api.scheme import SCHEME, ResourceInfo
from master.apiserver.negotiation import parse_accept
from master.apiserver.refusals import page_not_found

AGGREGATED_GROUP = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS = ("v2", "v2beta1")

VIRTUAL = {
    ("authentication.k8s.io", "v1"): (("selfsubjectreviews", "SelfSubjectReview"),),
    ("authorization.k8s.io", "v1"): (
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ),
}
"""Reviews: answered, never stored; cluster-scoped, created only."""


@cache
def group_versions() -> dict[str, list[str]]:
    """Group → its versions, in the order of preference."""
    groups = {group: list(versions) for group, versions in SCHEME.groups().items()}
    for group, version in VIRTUAL:
        groups.setdefault(group, []).append(version)
    return groups


def _infos(group: str, version: str) -> list[ResourceInfo]:
    return [info for info in SCHEME.all() if (info.group, info.version) == (group, version)]


def _plain_resources(group: str, version: str) -> list[dict[str, Any]]:
    resources: list[dict[str, Any]] = []
    for info in _infos(group, version):
        entry: dict[str, Any] = {"name": info.plural, "singularName": info.singular, "namespaced": info.namespaced}
        entry |= {"kind": info.kind, "verbs": list(info.verbs)}
        if info.short_names:
            entry["shortNames"] = list(info.short_names)
        if info.categories:
            entry["categories"] = list(info.categories)
        resources.append(entry)
        for name, sub in sorted(info.subresources.items()):
            entry = {"name": f"{info.plural}/{name}", "singularName": "", "namespaced": info.namespaced}
            if sub.version and (sub.group, sub.version) != (group, version):
                entry |= {"group": sub.group, "version": sub.version}
            resources.append(entry | {"kind": sub.kind, "verbs": list(sub.verbs)})
    for plural, kind in VIRTUAL.get((group, version), ()):
        entry = {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
        resources.append(entry)
    return resources


def _aggregated_resources(group: str, version: str) -> list[dict[str, Any]]:
    resources: list[dict[str, Any]] = []
    for info in _infos(group, version):
        entry: dict[str, Any] = {
            "resource": info.plural,
            "responseKind": {"group": group, "version": version, "kind": info.kind},
            "scope": "Namespaced" if info.namespaced else "Cluster",
            "singularResource": info.singular,
            "verbs": list(info.verbs),
        }
        if info.short_names:
            entry["shortNames"] = list(info.short_names)
        if info.categories:
            entry["categories"] = list(info.categories)
        subresources = [
            {
                "subresource": name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for name, sub in sorted(info.subresources.items())
        ]
        resources.append(entry | ({"subresources": subresources} if subresources else {}))
    for plural, kind in VIRTUAL.get((group, version), ()):
        response = {"group": group, "version": version, "kind": kind}
        entry = {"resource": plural, "responseKind": response, "scope": "Cluster", "singularResource": kind.lower()}
        resources.append(entry | {"verbs": ["create"]})
    return resources


@cache
def _aggregated(core: bool, version: str) -> bytes:
    items = []
    for group, versions in group_versions().items():
        if (group == "") is core:
            listed = [
                {"version": name, "freshness": "Current", "resources": _aggregated_resources(group, name)}
                for name in versions
            ]
            items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": listed})
    head = {"kind": "APIGroupDiscoveryList", "apiVersion": f"{AGGREGATED_GROUP}/{version}", "metadata": {}}
    return msgspec.json.encode({**head, "items": items})


def _group(group: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{group}/{name}", "version": name} for name in group_versions()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _plain_root(core: bool, server_address: str) -> bytes:
    if core:
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
        tree = {"kind": "APIVersions", "versions": group_versions()[""], "serverAddressByClientCIDRs": addresses}
        return msgspec.json.encode(tree)
    groups = [_group(group) for group in group_versions() if group]
    return msgspec.json.encode({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})


@cache
def _resource_list(group: str, version: str) -> bytes:
    name = f"{group}/{version}" if group else version
    tree = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name}
    return msgspec.json.encode({**tree, "resources": _plain_resources(group, version)})


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _tagged(request: Request, body: bytes, media_type: str) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
    headers = {"etag": etag, "vary": "Accept", "cache-control": "public"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


async def root(request: Request) -> Response:
    """`/api` and `/apis`."""
    core = request.scope["path"] == "/api"
    for media_type, params in parse_accept(request.headers.get("accept", "")):
        if media_type != "application/json" and params.get("as"):
            continue
        version = params.get("v", "")
        aggregated = params.get("as") == "APIGroupDiscoveryList" and params.get("g") == AGGREGATED_GROUP
        if aggregated and version in AGGREGATED_VERSIONS:
            content_type = f"application/json;g={AGGREGATED_GROUP};v={version};as=APIGroupDiscoveryList"
            return _tagged(request, _aggregated(core, version), content_type)
        if not params.get("as"):
            break
    config = request.app.state.context.config
    return _json(_plain_root(core, f"{config.public_address}:{config.port}"))


async def group(request: Request) -> Response:
    """`/apis/<group>`"""
    name: str = request.path_params["group"]
    if not name or name not in group_versions():
        return page_not_found()
    return _json(msgspec.json.encode({"kind": "APIGroup", "apiVersion": "v1", **_group(name)}))


async def resources(request: Request) -> Response:
    """`/api/v1`, `/apis/<group>/<version>`"""
    name, version = request.path_params.get("group", ""), request.path_params["version"]
    if version not in group_versions().get(name, ()):
        return page_not_found()
    return _json(_resource_list(name, version))
