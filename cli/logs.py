"""`timonier logs`: what containers wrote."""

import asyncio
import re
import sys
from typing import Annotated

import typer

from cli import verb
from cli.errors import CommandError
from cli.options import CONTAINER, SELECTOR
from cli.resources import Tree
from cli.session import Session
from cli.workloads import container_of, pod_of

SELECTED_TAIL = 10
"""With a selector only so many lines of each pod, as kubectl does."""
_UNITS_S = {"h": 3600, "m": 60, "s": 1}


def register(app: typer.Typer) -> None:
    verb.add(app, "logs", logs)


async def logs(
    session: Session,
    pod: Annotated[str, typer.Argument(help="`web-1`, `pod/web-1` or `deployment/web`.")] = "",
    container: CONTAINER = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as the container writes.")] = False,
    previous: Annotated[bool, typer.Option("-p", "--previous", help="Of the container before its restart.")] = False,
    tail: Annotated[int, typer.Option("--tail", help="Only the last lines; -1: all.")] = -1,
    since: Annotated[str, typer.Option("--since", help="Only of the last 5s, 2m or 3h.")] = "",
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Each line's time before it.")] = False,
    all_containers: Annotated[bool, typer.Option("--all-containers", help="Of all containers of the pod.")] = False,
    prefix: Annotated[bool, typer.Option("--prefix", help="Pod and container before each line.")] = False,
    selector: SELECTOR = "",
) -> int:
    """Print the logs of a container in a pod."""
    if bool(pod) == bool(selector):
        raise CommandError("name a pod or give a selector")
    pods_resource = (await session.catalogue()).find("pods")
    if selector:
        pods = await session.list(pods_resource, {"labelSelector": selector})
        tail = SELECTED_TAIL if tail == -1 and not follow else tail
        if not pods:
            verb.note_none_found(session.namespace, False)
    else:
        pods = [await pod_of(session, pod)]
    params = query(follow=follow, previous=previous, tail=tail, since=since, timestamps=timestamps)
    sources = [(each, name) for each in pods for name in _containers(each, container, all_containers)]
    readings = [_copy(session, each, name, params, prefix=prefix) for each, name in sources]
    if follow:
        await asyncio.gather(*readings)
    else:
        for reading in readings:
            await reading
    return 0


def _containers(pod: Tree, wanted: str, all_containers: bool) -> list[str]:
    if all_containers:
        fields = ("initContainers", "containers")
        return [each["name"] for field in fields for each in pod["spec"].get(field, [])]
    return [container_of(pod, wanted)]


def query(*, follow: bool, previous: bool, tail: int, since: str, timestamps: bool) -> dict[str, str]:
    """The parameters of the log subresource."""
    flags = {"follow": follow, "previous": previous, "timestamps": timestamps}
    params = {name: "true" for name, given in flags.items() if given}
    if tail >= 0:
        params["tailLines"] = str(tail)
    if since:
        params["sinceSeconds"] = str(seconds_of(since))
    return params


def seconds_of(duration: str) -> int:
    """`90s`, `1h30m`, or a plain number of seconds."""
    if duration.isdigit():
        return int(duration)
    if not re.fullmatch(r"(\d+[hms])+", duration):
        raise CommandError(f"{duration!r} is not a duration such as 5s, 2m or 1h30m")
    return sum(int(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


async def _copy(session: Session, pod: Tree, container: str, params: dict[str, str], *, prefix: bool) -> None:
    name = pod["metadata"]["name"]
    path = (await session.catalogue()).find("pods").path(pod["metadata"]["namespace"], name, "log")
    mark = f"[pod/{name}/{container}] ".encode() if prefix else b""
    rest = b""
    async with session.client.streams.open(path, params={**params, "container": container}) as stream:
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n") if mark else (chunk, b"")
            data = b"".join(mark + line + b"\n" for line in lines) if mark else chunk
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    if rest:
        sys.stdout.buffer.write(mark + rest + b"\n")
