"""`/livez`, `/readyz`, `/healthz`: named checks, alone or together, with or without words.

Ready means: the store answers with a majority behind it, and the caches are filled and followed.
"""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from master.api.status import ApiError
from master.apiserver.context import Context
from master.apiserver.refusals import page_not_found

STORE_TIMEOUT_S = 2.0
ENDPOINTS = ("livez", "readyz", "healthz")

Check = Callable[[Context], Awaitable[str]]
"""Gives "" when all is well, else why not (for the log; callers are not told)."""


async def _ping(_: Context) -> str:
    return ""


async def _store(context: Context) -> str:
    try:
        async with asyncio.timeout(STORE_TIMEOUT_S):
            await context.read_index.current()
    except TimeoutError:
        return "no answer in time"
    except ApiError as error:
        return error.message
    return ""


async def _caches(context: Context) -> str:
    if not context.feed.loaded.is_set():
        return "not loaded"
    return "" if context.feed.following else "not following the store"


async def _bootstrap(context: Context) -> str:
    return "" if context.bootstrapped.is_set() else "the system's own objects are not there yet"


async def _shutdown(context: Context) -> str:
    return "shutting down" if context.stopping else ""


LIVE: dict[str, Check] = {"ping": _ping}
READY: dict[str, Check] = {
    "ping": _ping,
    "store": _store,
    "caches": _caches,
    "bootstrap": _bootstrap,
    "shutdown": _shutdown,
}


def _endpoint(request: Request) -> tuple[str, dict[str, Check]]:
    name: str = request.scope["path"].split("/")[1]
    return name, READY if name == "readyz" else LIVE


async def one_check(request: Request) -> Response:
    name: str = request.path_params["check"]
    check = _endpoint(request)[1].get(name)
    if check is None:
        return page_not_found()
    failure = await check(request.app.state.context)
    return PlainTextResponse(f"{name} failed: reason withheld\n", 500) if failure else PlainTextResponse("ok")


async def all_checks(request: Request) -> Response:
    endpoint, checks = _endpoint(request)
    excluded = set(request.query_params.getlist("exclude"))
    names = [name for name in checks if name not in excluded]
    results = [await checks[name](request.app.state.context) for name in names]
    failures = dict(zip(names, results, strict=True))
    failed = any(failures.values())
    if not failed and "verbose" not in request.query_params:
        return PlainTextResponse("ok")
    lines = [f"[-]{name} failed: reason withheld" if why else f"[+]{name} ok" for name, why in failures.items()]
    lines.append(f"{endpoint} check {'failed' if failed else 'passed'}\n")
    return PlainTextResponse("\n".join(lines), 500 if failed else 200)
