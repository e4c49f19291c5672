"""A real, small API server for client tests: one store, any number of servers before it, each of which can hang.

It keeps the contract that clients rely on: one revision counter, optimistic concurrency, list, and watch from a
revision with 410 for what was compacted. It neither validates nor defaults.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Tree = dict[str, Any]


class TinyStore:
    """Objects by (collection path, namespace, name), and the history of their changes."""

    def __init__(self) -> None:
        self.revision = 100
        self.compacted = 100
        self.objects: dict[str, Tree] = {}
        self.history: list[tuple[int, str, str, Tree]] = []
        self.changed = asyncio.Condition()
        self.fences: dict[str, int] = {}
        self.uids = itertools.count(1)

    async def commit(self, kind: str, path: str, obj: Tree | None) -> Tree:
        self.revision += 1
        tree = obj if obj is not None else self.objects.pop(path)
        tree = json.loads(json.dumps(tree))
        tree["metadata"]["resourceVersion"] = str(self.revision)
        if obj is not None:
            self.objects[path] = tree
        self.history.append((self.revision, kind, path, tree))
        async with self.changed:
            self.changed.notify_all()
        return tree

    def compact(self) -> None:
        self.compacted = self.revision
        self.history.clear()


def status(code: int, reason: str, message: str = "", **details: Any) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
    return web.json_response({**body, "message": message or reason, "details": details}, status=code)


class TinyServer:
    """One front of the store. `hang` makes it swallow requests for ever, as a stopped process does."""

    def __init__(self, store: TinyStore) -> None:
        self.store = store
        self.awake = asyncio.Event()
        self.awake.set()
        self.requests: list[str] = []
        self.refuse_with: web.Response | None = None
        self.lose_answers = False
        self.url = ""
        self._runner: web.AppRunner | None = None

    def hang(self) -> None:
        self.awake.clear()

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._gate])
        app.router.add_route("GET", "/livez", self._livez)
        app.router.add_route("*", "/{path:.*}", self._dispatch)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.awake.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        await self.awake.wait()
        if self.refuse_with is not None:
            return self.refuse_with
        answer: web.StreamResponse = await handler(request)
        if self.lose_answers:
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        role, _, epoch = request.headers.get("Timonier-Fence", "").partition("=")
        if role:
            if int(epoch) < self.store.fences.get(role, 0):
                return status(409, "Conflict", "fenced", causes=[{"reason": "Fenced"}])
            self.store.fences[role] = int(epoch)
        method = {"GET": self._get, "POST": self._post, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        return await method[request.method](request)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request)
        if request.path in self.store.objects:
            return web.json_response(self.store.objects[request.path])
        last = request.path.rsplit("/", 1)[1]
        if not last.endswith("s"):  # collections end with a plural; names in these tests do not
            return status(404, "NotFound", f'"{last}" not found')
        items = [obj for path, obj in sorted(self.store.objects.items()) if belongs(path, request.path)]
        return web.json_response({"metadata": {"resourceVersion": str(self.store.revision)}, "items": items})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        obj = await request.json()
        parent = request.path.rsplit("/", 1)[0]
        if request.path.endswith("/binding"):
            return await self._bind(parent, obj)
        path = f"{request.path}/{obj['metadata']['name']}"
        if path in self.store.objects:
            return status(409, "AlreadyExists")
        obj["metadata"]["uid"] = f"uid-{next(self.store.uids)}"
        return web.json_response(await self.store.commit("ADDED", path, obj), status=201)

    async def _bind(self, path: str, binding: Tree) -> web.StreamResponse:
        pod = json.loads(json.dumps(self.store.objects[path]))
        if pod["spec"].get("nodeName"):
            return status(409, "Conflict")
        pod["spec"]["nodeName"] = binding["target"]["name"]
        await self.store.commit("MODIFIED", path, pod)
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)

    async def _put(self, request: web.Request) -> web.StreamResponse:
        obj = await request.json()
        old = self.store.objects.get(request.path)
        if old is None:
            return status(404, "NotFound")
        version = obj["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            return status(409, "Conflict")
        return web.json_response(await self.store.commit("MODIFIED", request.path, obj))

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removesuffix("/status")
        if path not in self.store.objects:
            return status(404, "NotFound")
        merged = merge(self.store.objects[path], await request.json())
        return web.json_response(await self.store.commit("MODIFIED", path, merged))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        if request.path not in self.store.objects:
            return status(404, "NotFound")
        return web.json_response(await self.store.commit("DELETED", request.path, None))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        position = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await self.awake.wait()
            if position < self.store.compacted:
                gone = {"kind": "Status", "reason": "Expired", "code": 410, "message": "too old"}
                await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                return response
            for revision, kind, path, obj in list(self.store.history):
                if revision > position and belongs(path, request.path):
                    await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
            position = max(position, self.store.revision)
            async with self.store.changed:
                await self.store.changed.wait()


def belongs(path: str, collection: str) -> bool:
    """Whether an object's path lies in a collection, of one namespace or of all."""
    base, _, resource = collection.rpartition("/")
    parent, _, _ = path.rpartition("/")
    return parent == collection or (parent.startswith(f"{base}/namespaces/") and parent.endswith(f"/{resource}"))


def merge(old: Any, patch: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    merged = {**old, **{key: merge(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in merged.items() if value is not None}


@asynccontextmanager
async def tiny_servers(count: int = 1) -> AsyncIterator[list[TinyServer]]:
    store = TinyStore()
    servers = [TinyServer(store) for _ in range(count)]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            await server.stop()


async def eventually(condition: Any, *, within_s: float = 5.0) -> None:
    """Wait until `condition()` is true; the look repeats with the loop's turns, bounded by the deadline."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the conditions of these tests have no one event
            await asyncio.sleep(0.005)
