"""The process: TLS, uvicorn, the background tasks, and an orderly end."""

import asyncio
import contextlib
import logging
import signal
import ssl
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from random import SystemRandom
from typing import Any

import uvicorn
from starlette.applications import Starlette

from master.api.scheme import SCHEME
from master.apiserver.app import application
from master.apiserver.bootstrap import bootstrap
from master.apiserver.config import ServerConfig
from master.apiserver.context import Context, Env
from master.apiserver.event_leases import EventLeases
from master.apiserver.feed import Feed
from master.apiserver.housekeeping import compact_history
from master.apiserver.kubelet_client import KubeletClient
from master.apiserver.presence import hold_lease, reconcile_endpoints
from master.apiserver.protocol import ApiProtocol, ApiWebSocket
from master.apiserver.storage import ReadIndex, Storage
from master.apiserver.store import Store
from master.apiserver.tunnel import PING_S

log = logging.getLogger("apiserver")

DRAIN_S = 3
"""How long requests under way may take to finish at the end; the whole end stays under 5 s."""
KEEP_ALIVE_S = 75
BACKLOG = 1024


def tls_context(config: ServerConfig) -> ssl.SSLContext:
    """Server TLS 1.2+; a client certificate is optional, but one that is shown must be signed by the cluster's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.tls.cert_file, config.tls.key_file)
    context.load_verify_locations(config.client_ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def build_context(config: ServerConfig, store: Store) -> Context:
    return Context(
        config=config,
        env=Env(now=time.time, rng=SystemRandom()),
        store=store,
        storage=Storage(store),
        feed=Feed(store, SCHEME.all()),
        read_index=ReadIndex(store),
        event_leases=EventLeases(store, config.event_ttl_s, time.monotonic),
        kubelets=KubeletClient(config.kubelet_client),
    )


class Server(uvicorn.Server):
    """uvicorn's server; signals and the end of watches are ours."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self.context = context

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread hears signals
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: Any = None) -> None:
        """Watches end first: they would never finish by themselves."""
        self.context.stopping = True
        self.context.feed.end_watches()
        await super().shutdown(sockets)


class ApiServer:
    """One API server on a store: `serve` until `stop`."""

    def __init__(self, config: ServerConfig, store: Store) -> None:
        self._config = config
        self.context = build_context(config, store)
        app = application(self.context, time.monotonic, self._lifespan)
        self._server = Server(self._uvicorn_config(app), self.context)

    def _uvicorn_config(self, app: Starlette) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            host=self._config.bind_address,
            port=self._config.port,
            http=ApiProtocol,
            ws=ApiWebSocket,
            loop="none",
            lifespan="on",
            ssl_context_factory=lambda *_: tls_context(self._config),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
            ws_ping_interval=PING_S,
            ws_ping_timeout=None,  # a pong may wait behind input that a command does not take
            ws_per_message_deflate=False,
            backlog=BACKLOG,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """What runs beside the requests starts before the first of them and ends after the last."""
        tasks = [asyncio.create_task(self._for_ever(work)) for work in background(self.context)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.context.kubelets.close()
            await self.context.store.close()

    async def serve(self) -> None:
        await self._server.serve()

    def stop(self) -> None:
        self._server.should_exit = True

    async def _for_ever(self, work: Coroutine[Any, Any, None]) -> None:
        """A background task that fails takes the server down: the supervisor starts a sound one."""
        try:
            await work
        except Exception:
            log.exception("a background task failed, stopping")
            self.stop()
            raise


def background(context: Context) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the requests for as long as the server lives."""
    return [
        context.feed.run(),
        bootstrap(context),
        hold_lease(context),
        reconcile_endpoints(context),
        compact_history(context),
    ]
