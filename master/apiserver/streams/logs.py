"""`pods/<p>/log`: the kubelet's answer, passed on as it comes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from master.api.status import BadRequest, FieldError, Invalid
from master.api.timestamps import parse_rfc3339
from master.apiserver.context import Context
from master.apiserver.kubelet_client import passed_on
from master.apiserver.request import Request, Target
from master.apiserver.responses import Response
from master.apiserver.streams.target import container_of, find_pod, kubelet_of

PARAMETERS = ("tailLines", "sinceSeconds", "sinceTime", "limitBytes", "stream")
FLAGS = ("follow", "previous", "timestamps")
BOUNDS = {"tailLines": (0, "must be greater than or equal to 0"), "sinceSeconds": (1, "must be greater than 0")}
BOUNDS["limitBytes"] = BOUNDS["sinceSeconds"]
CHUNK_BYTES = 64 * 1024


async def log(context: Context, request: Request, target: Target) -> Response | None:
    check_options(request, target.name)
    pod = await find_pod(context, target.namespace, target.name)
    container = container_of(pod, request.param("container"))
    if not pod.spec.node_name:
        return Response(b"", 204, b"")
    kubelet = await kubelet_of(context, pod)
    path = f"/containerLogs/{target.namespace}/{target.name}/{container}"
    async with context.kubelets.get(kubelet, path, passed_on(request.query, PARAMETERS, FLAGS)) as answer:
        headers = [(b"content-type", b"text/plain")]
        await request.send({"type": "http.response.start", "status": 200, "headers": headers})
        ended = asyncio.create_task(_disconnected(request))
        try:
            while chunk := await _next(answer.content.readany(), ended):
                await request.send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            ended.cancel()
    await request.send({"type": "http.response.body", "body": b"", "more_body": False})
    return None


async def _next(reading: Coroutine[Any, Any, bytes], ended: asyncio.Task[None]) -> bytes:
    """The next piece; nothing when the log or the client's patience has ended."""
    task = asyncio.create_task(reading)
    await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    return b""


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def check_options(request: Request, pod_name: str) -> None:
    problems: list[FieldError] = []
    for name, (least, why) in BOUNDS.items():
        text = request.param(name)
        if not text:
            continue
        try:
            value = int(text)
        except ValueError as error:
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
        if value < least:
            problems.append(FieldError.invalid(name, value, why))
    since = request.param("sinceTime")
    if since:
        try:
            parse_rfc3339(since)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        if request.param("sinceSeconds"):
            problems.append(
                FieldError.forbidden("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified")
            )
    if problems:
        raise Invalid.of("PodLogOptions", pod_name, problems)
