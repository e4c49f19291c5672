"""A list+watch server for two kinds, enough to be followed by the proxy's informers in tests."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from master.api.core.service import Service
from master.api.discovery.endpointslice import EndpointSlice
from master.api.meta import Object
from master.api.scheme import SCHEME

WATCH_POLL_S = 0.5


class FakeApi:
    """Objects by path; every change is an event that all watches see. Bind it inside any namespace."""

    def __init__(self, port: int, on_host: Callable[[Callable[[], ThreadingHTTPServer]], ThreadingHTTPServer]) -> None:
        self.changed = threading.Condition()
        self.revision = 1
        self.events: list[tuple[int, str, str, Object]] = []
        self.objects: dict[tuple[str, str], Object] = {}
        self.stopped = False
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.serve(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = on_host(lambda: ThreadingHTTPServer(("127.0.0.1", port), Handler))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def put(self, *objects: Object) -> None:
        for obj in objects:
            self._record("MODIFIED", obj)

    def delete(self, *objects: Object) -> None:
        for obj in objects:
            self._record("DELETED", obj)

    def close(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def _record(self, kind: str, obj: Object) -> None:
        path = SCHEME.by_struct(type(obj)).path("")
        with self.changed:
            self.revision += 1
            obj.metadata.resource_version = str(self.revision)
            key = (path, f"{obj.metadata.namespace}/{obj.metadata.name}")
            if kind == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = obj
            self.events.append((self.revision, kind, path, obj))
            self.changed.notify_all()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        known = {SCHEME.by_struct(kind).path("") for kind in (Service, EndpointSlice)}
        if parts.path not in known:
            request.send_error(404)
            return
        parameters = {key: values[0] for key, values in parse_qs(parts.query).items()}
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.end_headers()  # HTTP/1.0: the body ends with the connection
        if parameters.get("watch") in ("1", "true"):
            self._watch(request, parts.path, int(parameters.get("resourceVersion") or 0))
        else:
            request.wfile.write(self._list(parts.path))

    def _list(self, path: str) -> bytes:
        with self.changed:
            items = [_tree(obj) for (where, _), obj in self.objects.items() if where == path]
            body = {"kind": "List", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
            return json.dumps(body).encode()

    def _watch(self, request: BaseHTTPRequestHandler, path: str, since: int) -> None:
        while True:
            with self.changed:
                due = [(r, k, _tree(o)) for r, k, where, o in self.events if r > since and where == path]
                if self.stopped:
                    return
                if not due:
                    self.changed.wait(WATCH_POLL_S)
            for revision, kind, tree in due:
                since = revision
                try:
                    request.wfile.write(json.dumps({"type": kind, "object": tree}).encode() + b"\n")
                    request.wfile.flush()
                except OSError:
                    return


def _tree(obj: Object) -> Any:
    return json.loads(SCHEME.by_struct(type(obj)).encode(obj))
