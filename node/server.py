"""The kubelet's two servers: 10250 for the masters (mutual TLS), 10255 for whoever is on this node (reading only).

On 10250 a caller must show a certificate of the cluster's CA, and be an API server or an administrator; everything is
allowed to those. On 10255, bound to loopback, there are figures and pods without their secrets, and nothing else.
"""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from master.api.timestamps import parse_rfc3339
from node.config import NodeConfig
from node.context import NodeContext
from node.engine.base import EngineError
from node.logs import LogOptions, read_log
from node.podview import PodView, Refused
from node.query import flag
from node.runtime import RUNNING
from node.stats import summary
from node.streamserver import StreamServer

ADMIN_GROUP = "system:masters"
API_SERVER_PREFIX = "kube-apiserver"
LOOPBACK = "127.0.0.1"
SHUTDOWN_S = 1.0
MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Subject = tuple[tuple[tuple[str, str], ...], ...]


def may_enter(subject: Subject) -> bool:
    """Whether the holder of a certificate with this subject may use the kubelet."""
    pairs = [pair for part in subject for pair in part]
    groups = [value for name, value in pairs if name == "organizationName"]
    names = [value for name, value in pairs if name == "commonName"]
    return ADMIN_GROUP in groups or any(name.startswith(API_SERVER_PREFIX) for name in names)


@web.middleware
async def _authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        return web.Response(status=401, text="Unauthorized")
    if not may_enter(certificate.get("subject", ())):
        return web.Response(status=403, text="Forbidden: this kubelet answers to API servers only")
    return await handler(request)


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return web.Response(status=refused.code, text=refused.message)
    except EngineError as error:
        return web.Response(status=500, text=str(error))


class KubeletServer:
    """`start` both servers, `stop` them; long streams are cut at the stop."""

    def __init__(self, context: NodeContext, view: PodView) -> None:
        self._context = context
        self._view = view
        self._runners: list[web.AppRunner] = []
        self._registry = CollectorRegistry()
        self._pods = Gauge("kubelet_running_pods", "Pods that have a running sandbox", registry=self._registry)
        self._containers = Gauge("kubelet_running_containers", "Running containers", registry=self._registry)
        named = Gauge("kubelet_node_name", "The node's name", ["node"], registry=self._registry)
        named.labels(context.config.node_name).set(1)

    async def start(self) -> None:
        config = self._context.config
        secure = web.Application(middlewares=[_refusals, _authorize], client_max_size=MAX_BODY_BYTES)
        self._add_readable(secure, stripped=False)
        secure.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        streams = StreamServer(self._context, self._view)
        secure.router.add_get("/exec/{namespace}/{pod}/{container}", streams.exec)
        secure.router.add_get("/attach/{namespace}/{pod}/{container}", streams.attach)
        secure.router.add_get("/portForward/{namespace}/{pod}", streams.port_forward)
        await self._listen(secure, config.address, config.port, server_tls(config))
        if config.read_only_port:
            plain = web.Application(middlewares=[_refusals], client_max_size=0)
            self._add_readable(plain, stripped=True)
            await self._listen(plain, LOOPBACK, config.read_only_port, None)

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, max_field_size=MAX_HEADER_BYTES)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host, port, ssl_context=tls, reuse_address=True).start()

    def _add_readable(self, app: web.Application, *, stripped: bool) -> None:
        async def pods(_: web.Request) -> web.Response:
            return _json(self._view.listed(stripped=stripped))

        app.router.add_get("/healthz", self._healthz, allow_head=False)
        app.router.add_get("/pods", pods, allow_head=False)
        app.router.add_get("/metrics", self._metrics, allow_head=False)
        app.router.add_get("/stats/summary", self._summary, allow_head=False)

    async def _healthz(self, _: web.Request) -> web.Response:
        cache = self._context.cache
        if not cache.healthy:
            return web.Response(status=500, text=f"the container engine does not answer: {cache.error}")
        return web.Response(text="ok")

    async def _metrics(self, _: web.Request) -> web.Response:
        pods = self._context.cache.pods().values()
        self._pods.set(sum(1 for pod in pods if pod.live_sandbox() is not None))
        self._containers.set(sum(len(pod.running()) for pod in pods))
        return web.Response(body=generate_latest(self._registry), content_type="text/plain")

    async def _summary(self, _: web.Request) -> web.Response:
        context = self._context
        pairs = [(pod, context.cache.get(pod.metadata.uid)) for pod in context.source.pods()]
        return _json(summary(context.config.node_name, pairs, context.wall()))

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        context, names = self._context, request.match_info
        pod = self._view.find(names["namespace"], names["pod"])
        options = log_options(dict(request.query), context.wall())
        state = self._view.logged(pod, names["container"], previous=flag(request.query, "previous"))
        source = await context.engine.logs(state.id)

        async def is_over() -> bool:
            if request.transport is None:
                return True  # nobody reads any more, and a quiet container would never let us notice
            attempts = context.cache.get(pod.metadata.uid).attempts(state.name)
            return not any(each.id == state.id and each.state == RUNNING for each in attempts)

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async for chunk in read_log(Path(source.path), source.format, options, is_over=is_over):
                await response.write(chunk)
            await response.write_eof()
        except ConnectionError:
            pass  # the reader has seen enough
        return response


def log_options(query: dict[str, str], now_s: float) -> LogOptions:
    """The query of a log request; raises `Refused` for what cannot be understood."""
    try:
        since_s = parse_rfc3339(query["sinceTime"]) if query.get("sinceTime") else None
        if query.get("sinceSeconds"):
            since_s = now_s - int(query["sinceSeconds"])
        return LogOptions(
            follow=flag(query, "follow"),
            timestamps=flag(query, "timestamps"),
            tail_lines=int(query["tailLines"]) if query.get("tailLines") else None,
            since_s=since_s,
            limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
            stream=msgspec.convert(query.get("stream") or "All", type=Literal["All", "Stdout", "Stderr"]),
        )
    except (ValueError, msgspec.ValidationError) as error:
        raise Refused(400, f"invalid log options: {error}") from error


def server_tls(config: NodeConfig) -> ssl.SSLContext:
    """Nobody gets as far as a request without a certificate of the cluster."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.server_tls.cert_file, config.server_tls.key_file)
    context.load_verify_locations(config.client_ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _json(tree: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(tree), content_type="application/json")
