"""`/livez`, `/readyz`, `/healthz`: named checks, alone or together, with or without words.

Ready means: the store answers with a majority behind it, and the caches are filled and followed.
"""

import asyncio
from collections.abc import Awaitable, Callable

from master.api.status import ApiError
from master.apiserver.context import Context
from master.apiserver.request import Request
from master.apiserver.responses import Response, text

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


async def health(context: Context, request: Request, segments: list[str]) -> Response:
    checks = READY if segments[0] == "readyz" else LIVE
    if len(segments) == 2:
        check = checks.get(segments[1])
        if check is None:
            return text("404 page not found\n", 404)
        failure = await check(context)
        return text(f"{segments[1]} failed: reason withheld\n", 500) if failure else text("ok")
    excluded = set(request.query.get("exclude", ()))
    names = [name for name in checks if name not in excluded]
    failures = dict(zip(names, [await checks[name](context) for name in names], strict=True))
    failed = any(failures.values())
    if not failed and "verbose" not in request.query:
        return text("ok")
    lines = [f"[-]{name} failed: reason withheld" if why else f"[+]{name} ok" for name, why in failures.items()]
    lines.append(f"{segments[0]} check {'failed' if failed else 'passed'}\n")
    return text("\n".join(lines), 500 if failed else 200)
