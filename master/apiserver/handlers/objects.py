"""POST, PUT and DELETE on objects and collections: from the request to the write, and back to the answer."""

from collections.abc import Callable
from typing import Any

from master.api.decode import decode_options
from master.api.meta import DeleteOptions
from master.api.scheme import ResourceInfo
from master.api.status import BadRequest, FieldError, Invalid, NotFound
from master.apiserver import errors
from master.apiserver.authn import MASTERS
from master.apiserver.context import Context
from master.apiserver.entry import Entry
from master.apiserver.handlers import delete as deletion
from master.apiserver.handlers.read import select
from master.apiserver.handlers.write import Outcome, Write, create, update
from master.apiserver.listoptions import parse_list_options
from master.apiserver.negotiation import Form
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response, shaped, success
from master.apiserver.selection import parse_selection
from master.apiserver.storage import parse_fence
from master.apiserver.views import list_meta, view_of
from master.apiserver.writeoptions import check_options, decode_object, query_delete_options, read_body
from raftstore.protocol import Fence

FENCE_HEADER = b"timonier-fence"


def fence_of(request: Request) -> Fence | None:
    """The fence a write carries. A role's epoch is its holder's to raise: anybody else's would lock the holder out."""
    fence = parse_fence(request.header(FENCE_HEADER))
    user = request.user
    if fence is not None and user.name != f"system:{fence.role}" and MASTERS not in user.groups:
        raise errors.make(403, "Forbidden", f'User "{user.name}" cannot write for the leader role "{fence.role}"')
    return fence


def write_of(context: Context, request: Request, target: Target, info: ResourceInfo, *, dry_run: bool) -> Write:
    fence = fence_of(request)
    return Write(context, info, target.namespace, request.user, target.name, target.subresource, dry_run, fence)


async def post(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    view = view_of(request, info, form, context.env.now)
    dry_run = check_options(request)
    obj = decode_object(request, info, await read_body(request))
    check_new(info, obj, target.namespace)
    write = write_of(context, request, target, info, dry_run=dry_run)
    entry = await create(write, _copies(info, obj))
    return shaped(form, view.one(entry), 201)


def _copies(info: ResourceInfo, obj: Any) -> Callable[[], Any]:
    """Gives the object itself first and fresh copies later: an attempt changes what it is given."""
    pristine: list[bytes] = []

    def make() -> Any:
        if not pristine:
            pristine.append(info.encode(obj))
            return obj
        return info.decode(pristine[0])

    return make


def check_new(info: ResourceInfo, obj: Any, namespace: str) -> None:
    metadata = obj.metadata
    if metadata.resource_version:
        raise errors.plain_500("resourceVersion should not be set on objects to be created")
    if info.namespaced and not namespace:
        raise BadRequest("an empty namespace may not be set during creation")
    if metadata.namespace and metadata.namespace != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


async def put(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    view = view_of(request, info, form, context.env.now)
    dry_run = check_options(request)
    obj = decode_object(request, info, await read_body(request))
    name = obj.metadata.name or target.name
    if name != target.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    obj.metadata.name = name
    write = write_of(context, request, target, info, dry_run=dry_run)
    check_version(info, obj)
    fresh = _copies(info, obj)
    try:
        outcome = await update(write, lambda _: fresh())
    except NotFound:
        if not info.strategy.allow_create_on_update or target.subresource or obj.metadata.resource_version:
            raise
        check_new(info, obj, target.namespace)
        created = await create(write, fresh)
        return shaped(form, view.one(created), 201)
    return shaped(form, view.one(outcome.entry))


def check_version(info: ResourceInfo, obj: Any) -> None:
    """Some kinds are never overwritten blindly."""
    if info.strategy.must_set_version and not obj.metadata.resource_version:
        problem = FieldError.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise Invalid.of(errors.qualified(info.plural, info.group), obj.metadata.name, [problem])


async def delete(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    view = view_of(request, info, form, context.env.now)
    options, dry_run = await delete_options(request)
    write = write_of(context, request, target, info, dry_run=dry_run)
    outcome = await deletion.delete(write, options)
    return shaped(form, view.one(outcome.entry)) if shows_object(info, outcome) else _gone(info, outcome)


def shows_object(info: ResourceInfo, outcome: Outcome) -> bool:
    return info.strategy.delete_returns_object or not outcome.gone


def _gone(info: ResourceInfo, outcome: Outcome) -> Response:
    metadata = info.decode(outcome.entry.data).metadata
    return success(metadata.name, info.group, info.plural, metadata.uid)


async def delete_options(request: Request) -> tuple[DeleteOptions, bool]:
    """(options, dry run). A body wins over the query."""
    dry_run = check_options(request)
    body = await read_body(request)
    options = query_delete_options(request)
    if body.strip():
        options = decode_options(DeleteOptions, body, request.header(b"content-type") or None)
    deletion.check_options(options)
    return options, dry_run or bool(options.dry_run)


async def delete_collection(
    context: Context, request: Request, target: Target, info: ResourceInfo, form: Form
) -> Response:
    view = view_of(request, info, form, context.env.now, of_list=True)
    options, dry_run = await delete_options(request)
    selection = parse_selection(info, target.namespace, request.param("labelSelector"), request.param("fieldSelector"))
    entries, revision = await select(context, info, selection, parse_list_options(request, info, watch=False))
    fence = fence_of(request)

    def write(entry: Entry) -> Write:
        return Write(context, info, entry.namespace, request.user, entry.name, "", dry_run, fence)

    deleted = await deletion.delete_all(write, entries, options)
    return shaped(form, b"".join(view.many(deleted, list_meta(revision))))
