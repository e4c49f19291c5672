"""WATCH: a stream of lines, from the present state or from an earlier revision, until the client or time ends it."""

import asyncio
import logging

from master.api.scheme import ResourceInfo
from master.apiserver import errors
from master.apiserver.cache import HistoryGone, ResourceCache
from master.apiserver.context import Context
from master.apiserver.entry import Entry
from master.apiserver.listoptions import ListOptions, parse_list_options
from master.apiserver.negotiation import Form
from master.apiserver.request import Request, Target
from master.apiserver.responses import CHUNK_BYTES, JSON_TYPE, status_bytes
from master.apiserver.selection import NAME, Requirement, Selection, parse_selection
from master.apiserver.views import View, view_of
from master.apiserver.watchers import ADDED, Watcher

log = logging.getLogger("apiserver.watch")

BOOKMARK_INTERVAL_S = 30.0
"""kube-apiserver sends one about each minute; oftener means fewer expired versions after a fail-over."""
LONGEST_S = 3600.0
"""A watch without `timeoutSeconds` ends after 30 to 60 minutes, as upstream, so that clients spread themselves."""


async def watch(context: Context, request: Request, target: Target, info: ResourceInfo, form: Form) -> None:
    view = view_of(request, info, form, context.env.now, of_list=form.shape.endswith("List"))
    options = parse_list_options(request, info, watch=True)
    selection = _selection(request, target, info)
    initial = _wants_initial_events(options)
    if options.revision is None:
        await context.catch_up()
    elif initial:
        await context.feed.wait_for(options.revision)
    stream = WatchStream(context, request, context.feed.of(info), view, selection, options)
    await stream.run(initial_events=initial)


def _selection(request: Request, target: Target, info: ResourceInfo) -> Selection:
    selection = parse_selection(info, target.namespace, request.param("labelSelector"), request.param("fieldSelector"))
    if not target.name:
        return selection
    if selection.name and selection.name != target.name:
        raise errors.bad_request(f"field selector names {selection.name!r}, the path names {target.name!r}")
    wanted = Requirement(NAME, True, target.name)
    return Selection(target.namespace, selection.labels, (*selection.requirements, wanted))


def _wants_initial_events(options: ListOptions) -> bool:
    if options.send_initial_events is not None:
        return options.send_initial_events
    return not options.revision


class WatchStream:
    """One watch: subscribes, writes what happened before, then what happens."""

    def __init__(
        self,
        context: Context,
        request: Request,
        cache: ResourceCache,
        view: View,
        selection: Selection,
        options: ListOptions,
    ) -> None:
        self._context = context
        self._request = request
        self._cache = cache
        self._view = view
        self._selection = selection
        self._options = options
        longest_s = LONGEST_S * (0.5 + context.env.rng.random() / 2)
        self._deadline = asyncio.get_running_loop().time() + (options.timeout_s or longest_s)

    async def run(self, *, initial_events: bool) -> None:
        """Take state and subscription in one step, without an await between, so that nothing falls in between."""
        cache, view = self._cache, self._view
        revision = self._context.feed.revision
        backlog: list[bytes] | None = None
        entries: list[Entry] = []
        if initial_events:
            entries = cache.select(self._selection)
        elif self._options.revision is not None and self._options.revision < revision:
            try:
                backlog = self._backlog(self._options.revision)
            except HistoryGone as error:
                await self._refuse(self._options.revision, error.oldest)
                return
        first = view.first_event if view.form.shape and not entries and not backlog else None
        after = max(self._options.revision or 0, revision)
        watcher = Watcher(self._selection, view.key, view.event, encode_first=first, after=after)
        cache.watchers.add(watcher)
        if self._context.stopping:
            watcher.end()
        try:
            await self._stream(watcher, entries, backlog or [], revision)
        finally:
            cache.watchers.remove(watcher)

    def _backlog(self, revision: int) -> list[bytes]:
        lines: list[bytes] = []
        for change in self._cache.changes_after(revision):
            kind = change.seen_by(self._selection)
            if kind and lines:
                lines.append(change.line(kind, self._view.key, self._view.event))
            elif kind:
                lines.append(self._view.first_event(kind, change.subject(kind)))
        return lines

    async def _stream(self, watcher: Watcher, entries: list[Entry], backlog: list[bytes], revision: int) -> None:
        headers = [(b"content-type", JSON_TYPE)]
        await self._request.send({"type": "http.response.start", "status": 200, "headers": headers})
        watchdog = asyncio.create_task(self._end_on_disconnect(watcher))
        try:
            await self._send_initial(entries)
            await self._send_lines(backlog)
            if self._options.send_initial_events and self._options.bookmarks:
                await self._send(self._view.bookmark(revision, initial_events_end=True))
            await self._live(watcher)
        finally:
            watchdog.cancel()
        await self._request.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_initial(self, entries: list[Entry]) -> None:
        view, encode = self._view, self._view.first_event
        pending: list[bytes] = []
        size = 0
        for entry in entries:
            line = encode(ADDED, entry)
            encode = view.event
            pending.append(line)
            size += len(line)
            if size >= CHUNK_BYTES:
                await self._send(b"".join(pending))
                pending, size = [], 0
        await self._send_lines(pending)

    async def _live(self, watcher: Watcher) -> None:
        loop = asyncio.get_running_loop()
        bookmark_at = loop.time() + BOOKMARK_INTERVAL_S
        while not watcher.ended and loop.time() < self._deadline:
            await watcher.wait(min(bookmark_at, self._deadline) - loop.time())
            lines = watcher.take()
            if lines:
                await self._send(lines)
            elif loop.time() >= min(bookmark_at, self._deadline) and not watcher.ended:
                await self._send_bookmark(watcher)
            if loop.time() >= bookmark_at:
                bookmark_at = loop.time() + BOOKMARK_INTERVAL_S
        if watcher.overflowed:
            log.warning("cut a watcher of %s that fell behind", self._cache.info.plural)
        await self._send_lines([watcher.take()])

    async def _send_bookmark(self, watcher: Watcher) -> None:
        """The buffer is empty, so every event up to the feed's revision has been sent."""
        revision = self._context.feed.revision
        if self._options.bookmarks and revision >= watcher.after:
            await self._send(self._view.bookmark(revision))

    async def _send_lines(self, lines: list[bytes]) -> None:
        joined = b"".join(lines)
        if joined:
            await self._send(joined)

    async def _send(self, body: bytes) -> None:
        await self._request.send({"type": "http.response.body", "body": body, "more_body": True})

    async def _end_on_disconnect(self, watcher: Watcher) -> None:
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                watcher.end()
                return

    async def _refuse(self, wanted: int, oldest: int) -> None:
        """A version before the window: an ERROR event inside a 200 stream, as clients expect it."""
        status = status_bytes(errors.gone_from_window(wanted, oldest))
        headers = [(b"content-type", JSON_TYPE)]
        await self._request.send({"type": "http.response.start", "status": 200, "headers": headers})
        line = b'{"type":"ERROR","object":%b}\n' % status
        await self._request.send({"type": "http.response.body", "body": line, "more_body": False})
