"""GET of one object and LIST, served from the watch cache at the consistency the client asks for."""

from master.api.meta import ListMeta, Status
from master.api.scheme import ResourceInfo
from master.api.status import ApiError, Expired, NotFound
from master.apiserver import keys
from master.apiserver.cache import HistoryGone, ResourceCache
from master.apiserver.context import Context
from master.apiserver.entry import Entry, entry_of
from master.apiserver.listoptions import EXACT, ListOptions, encode_token, parse_list_options, parse_revision
from master.apiserver.negotiation import Form
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response, shaped
from master.apiserver.selection import Selection, parse_selection
from master.apiserver.storage import translated
from master.apiserver.views import list_meta, view_of
from raftstore.errors import Compacted, FutureRevision

TOO_OLD_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


async def read_entry(context: Context, info: ResourceInfo, namespace: str, name: str) -> Entry:
    """The newest state of one object; 404 only when it certainly does not exist."""
    await context.catch_up()
    entry = context.feed.of(info).get(keys.relative_key(info, namespace, name))
    if entry is None:
        raise NotFound.of(info, name)
    return entry


async def get(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    view = view_of(request, info, form, context.env.now)
    revision = parse_revision(request.param("resourceVersion"))
    if revision is None:
        entry = await read_entry(context, info, target.namespace, target.name)
    else:
        await context.feed.wait_for(revision)
        found = context.feed.of(info).get(keys.relative_key(info, target.namespace, target.name))
        if found is None:
            raise NotFound.of(info, target.name)
        entry = found
    return shaped(form, view.one(entry))


async def list_objects(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> Response:
    view = view_of(request, info, form, context.env.now, of_list=True)
    options = parse_list_options(request, info, watch=False)
    selection = parse_selection(info, target.namespace, request.param("labelSelector"), request.param("fieldSelector"))
    entries, revision = await select(context, info, selection, options)
    page, meta = _page(entries, revision, options, selection)
    parts = view.many(page, meta)
    return Response(parts) if form.media_type.endswith("json") else shaped(form, b"".join(parts))


async def select(
    context: Context, info: ResourceInfo, selection: Selection, options: ListOptions
) -> tuple[list[Entry], int]:
    """All objects that a list is about, and the revision that they show."""
    cache = context.feed.of(info)
    exact = 0
    if options.token is not None:
        exact = options.token.rv
        if not exact:
            await context.catch_up()
    elif options.revision is None:
        await context.catch_up()
    else:
        await context.feed.wait_for(options.revision)
        exact = options.revision if options.match == EXACT else 0
    if not exact:
        entries, revision = cache.select(selection), context.feed.revision
    else:
        await context.feed.wait_for(exact)
        entries, revision = await _select_at(context, cache, selection, exact, options), exact
    if options.token is not None:
        start = options.token.start
        entries = [entry for entry in entries if entry.key >= start]
    return entries, revision


async def _select_at(
    context: Context, cache: ResourceCache, selection: Selection, revision: int, options: ListOptions
) -> list[Entry]:
    """The state at one revision: from the cache's history, else from the store's."""
    try:
        return cache.select_at(selection, revision)
    except HistoryGone:
        pass
    info = cache.info
    prefix = keys.resource_prefix(info)
    try:
        with translated():
            result = await context.store.range(prefix, revision=revision)
    except ApiError as error:
        if isinstance(error.__cause__, Compacted | FutureRevision):
            raise _expired(options) from error
        raise
    entries = (entry_of(info, kv.key[len(prefix) :], kv.mod_revision, kv.value) for kv in result.kvs)
    return [entry for entry in entries if selection.matches(entry)]


class ExpiredPage(Expired):
    """The snapshot behind a continue token is gone; the Status brings a token that goes on with the newest state."""

    def __init__(self, start: str) -> None:
        super().__init__(TOO_OLD_TOKEN)
        self._start = start

    @property
    def status(self) -> Status:
        status = super().status
        status.metadata.continue_ = encode_token(self._start, 0)
        return status


def _expired(options: ListOptions) -> ApiError:
    if options.token is None:
        return Expired("The resourceVersion for the provided list is too old.")
    return ExpiredPage(options.token.start)


def _page(
    entries: list[Entry], revision: int, options: ListOptions, selection: Selection
) -> tuple[list[Entry], ListMeta]:
    limit = options.limit
    if not limit or len(entries) <= limit:
        return entries, list_meta(revision)
    remaining = None if selection.selects else len(entries) - limit
    return entries[:limit], list_meta(revision, encode_token(entries[limit].key, revision), remaining)
