"""`timonier scale`: how many replicas a workload should have."""

from typing import Annotated

import typer

from cli import verb
from cli.errors import CommandError
from cli.options import TARGETS
from cli.resources import named_targets
from cli.session import Session
from master.api.status import ApiError
from master.client.rest import PATCH_TYPES


def register(app: typer.Typer) -> None:
    verb.add(app, "scale", scale)


async def scale(
    session: Session,
    targets: TARGETS,
    replicas: Annotated[int, typer.Option("--replicas", min=0, help="The wanted number.")],
    current_replicas: Annotated[
        int, typer.Option("--current-replicas", help="Only if this is the number at present; -1: in any case.")
    ] = -1,
) -> int:
    """Set the number of replicas of Deployments, ReplicaSets and ReplicationControllers."""
    code = 0
    for target in named_targets(targets, await session.catalogue()):
        resource = target.resource
        if "scale" not in resource.subresources:
            raise CommandError(f"{resource.qualified} cannot be scaled")
        path = resource.path(session.namespace, target.name, "scale")
        try:
            current = await session.get(path)
            present = current["spec"].get("replicas", 0)
            if current_replicas not in (-1, present):
                raise CommandError(f"Expected replicas to be {current_replicas}, was {present}")
            patch = {"spec": {"replicas": replicas}}
            if current_replicas != -1:
                patch["metadata"] = {"resourceVersion": current["metadata"]["resourceVersion"]}
            await session.send("PATCH", path, patch, content_type=PATCH_TYPES["merge"])
        except ApiError as error:
            verb.complain(error)
            code = 1
            continue
        print(f"{resource.label(target.name)} scaled")
    return code
