"""`timonier cordon` and `uncordon`: whether a node takes new pods."""

from typing import Annotated

import typer

from cli import verb
from cli.session import Session
from master.client.rest import PATCH_TYPES

NODES = Annotated[list[str], typer.Argument(help="Names of nodes.")]


def register(app: typer.Typer) -> None:
    verb.add(app, "cordon", cordon)
    verb.add(app, "uncordon", uncordon)


async def cordon(session: Session, nodes: NODES) -> int:
    """Keep new pods away from nodes; those that run there stay."""
    return await _set(session, nodes, unschedulable=True)


async def uncordon(session: Session, nodes: NODES) -> int:
    """Let nodes take new pods again."""
    return await _set(session, nodes, unschedulable=False)


async def _set(session: Session, nodes: list[str], *, unschedulable: bool) -> int:
    resource = (await session.catalogue()).find("nodes")
    done = "cordoned" if unschedulable else "uncordoned"
    for word in nodes:
        name = word.removeprefix("node/").removeprefix("nodes/")
        path = resource.path("", name)
        node = await session.get(path)
        if bool((node.get("spec") or {}).get("unschedulable")) == unschedulable:
            print(f"node/{name} already {done}")
            continue
        patch = {"spec": {"unschedulable": True if unschedulable else None}}
        await session.send("PATCH", path, patch, content_type=PATCH_TYPES["strategic"])
        print(f"node/{name} {done}")
    return 0
