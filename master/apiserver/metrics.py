"""What the server counts about itself, under the names that Kubernetes' dashboards and alerts know."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

LABELS = ("verb", "group", "version", "resource", "subresource", "scope")
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2, 3, 5, 10, 30, 60)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REGISTRY = CollectorRegistry()
requests_total = Counter(
    "apiserver_request_total",
    "Requests by verb, resource and HTTP status code.",
    (*LABELS, "code"),
    registry=REGISTRY,
)
request_seconds = Histogram(
    "apiserver_request_duration_seconds",
    "Time from the first byte of a request to the last of its answer; watches are not counted.",
    LABELS,
    buckets=BUCKETS_S,
    registry=REGISTRY,
)
inflight = Gauge(
    "apiserver_current_inflight_requests",
    "Requests under way.",
    ("request_kind",),
    registry=REGISTRY,
)
watchers = Gauge(
    "apiserver_longrunning_requests",
    "Watches and streams under way.",
    ("verb", "resource"),
    registry=REGISTRY,
)
store_revision = Gauge("timonier_apiserver_store_revision", "Store revision of the watch caches.", registry=REGISTRY)


async def exposition(request: Request) -> Response:
    store_revision.set(request.app.state.context.feed.revision)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE)
