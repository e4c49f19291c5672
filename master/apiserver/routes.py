"""Which handler answers: a table of (method, on an object?, subresource)."""

from collections.abc import Awaitable, Callable

from master.api.scheme import ResourceInfo
from master.apiserver.context import Context
from master.apiserver.handlers import objects, patch, read, subresources, watch
from master.apiserver.negotiation import Form
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response

Handler = Callable[[Context, Request, Target, ResourceInfo, Form], Awaitable[Response | None]]

COLLECTION: dict[str, Handler] = {
    "list": read.list_objects,
    "watch": watch.watch,
    "create": objects.post,
    "deletecollection": objects.delete_collection,
}
OBJECT: dict[str, Handler] = {
    "get": read.get,
    "watch": watch.watch,
    "update": objects.put,
    "patch": patch.patch,
    "delete": objects.delete,
}
STATUS: dict[str, Handler] = {"get": read.get, "update": objects.put, "patch": patch.patch}
SUBRESOURCES: dict[str, dict[str, Handler]] = {
    "status": STATUS,
    "scale": {
        "get": subresources.get_scale,
        "update": subresources.put_scale,
        "patch": subresources.put_scale,
    },
    "binding": {"create": subresources.bind},
    "eviction": {"create": subresources.evict},
    "finalize": {"update": subresources.finalize},
}
LONG_RUNNING_SUBRESOURCES = frozenset({"log", "exec", "attach", "portforward", "proxy"})
METHOD_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def verb_of(request: Request, target: Target) -> str:
    """The verb in the words of RBAC; "" for a method that means nothing here."""
    verb = METHOD_VERBS.get(request.method, "")
    if verb == "get" and not target.subresource and request.flag("watch"):
        return "watch"
    if target.name:
        return verb
    return {"get": "list", "delete": "deletecollection"}.get(verb, verb)


def handler_of(target: Target, info: ResourceInfo, verb: str) -> Handler | None:
    """None when the resource does not know the verb."""
    if target.subresource:
        known = info.subresources.get(target.subresource)
        if known is None or verb not in known.verbs:
            return None
        return SUBRESOURCES.get(target.subresource, {}).get(verb)
    if verb not in info.verbs:
        return None
    if info.kind == "Binding":
        return subresources.bind
    return (OBJECT if target.name else COLLECTION).get(verb)
