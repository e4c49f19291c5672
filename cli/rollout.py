"""`timonier rollout`: watch, look back at, undo, restart, pause and resume the rollout of a Deployment."""

import asyncio
import time
from typing import Annotated, Any

import typer

from cli import verb
from cli.errors import CommandError
from cli.options import OUTPUT, TARGETS
from cli.output import Grid, check_format, format_tree, is_table_format
from cli.resources import Target, Tree, named_targets
from cli.session import Session
from cli.watching import watch_lines
from cli.workloads import selector_text
from master.api.timestamps import now_rfc3339
from master.client.rest import PATCH_TYPES

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
TEMPLATE_HASH = "pod-template-hash"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Manage the rollout of a Deployment.", no_args_is_help=True)
    for function in (status, history, undo, restart, pause, resume):
        verb.add(group, function.__name__, function)
    app.add_typer(group, name="rollout")


async def status(
    session: Session,
    targets: TARGETS,
    watch: Annotated[bool, typer.Option("-w/ ", "--watch/--no-watch", help="Until the rollout is done.")] = True,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait; 0: as long as it takes.")] = 0,
) -> int:
    """Show how far a rollout is, until it is done."""
    for target in await _deployments(session, targets):
        try:
            async with asyncio.timeout(timeout_s or None):
                await _follow(session, target, watch=watch)
        except TimeoutError:
            raise CommandError("timed out waiting for the condition") from None
    return 0


async def _follow(session: Session, target: Target, *, watch: bool) -> None:
    path = target.resource.path(session.namespace)
    tree = await session.get(target.resource.path(session.namespace, target.name))
    shown = ""

    def tell(deployment: Tree) -> bool:
        nonlocal shown
        text, done = progress(deployment)
        if text != shown:
            print(text, flush=True)
        shown = text
        return done

    if tell(tree) or not watch:
        return
    query = {"fieldSelector": f"metadata.name={target.name}", "resourceVersion": tree["metadata"]["resourceVersion"]}
    async for event in watch_lines(session, path, query):
        if event["type"] == "DELETED":
            raise CommandError("object has been deleted")
        if tell(event["object"]):
            return


def progress(deployment: Tree) -> tuple[str, bool]:
    """(what to tell, is it done); CommandError when its deadline has passed."""
    name, spec, now = deployment["metadata"]["name"], deployment["spec"], deployment.get("status") or {}
    if deployment["metadata"].get("generation", 0) > now.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
    for condition in now.get("conditions") or []:
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise CommandError(f'deployment "{name}" exceeded its progress deadline')
    wanted, updated = spec.get("replicas", 1), now.get("updatedReplicas", 0)
    total, available = now.get("replicas", 0), now.get("availableReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish:'
    if updated < wanted:
        return f"{waiting} {updated} out of {wanted} new replicas have been updated...", False
    if total > updated:
        return f"{waiting} {total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting} {available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


async def history(
    session: Session,
    targets: TARGETS,
    revision: Annotated[int, typer.Option("--revision", help="Show this revision's pod template.")] = 0,
    output: OUTPUT = "",
) -> int:
    """List the revisions of a Deployment."""
    check_format(output)
    for target in await _deployments(session, targets):
        _, sets = await _revisions(session, target)
        if revision:
            if revision not in sets:
                raise CommandError(f"unable to find the specified revision {revision}")
            print(format_tree(sets[revision]["spec"]["template"], "json" if output == "json" else "yaml"), end="")
            continue
        if not is_table_format(output):
            rows = [{"revision": number, "changeCause": _cause(sets[number])} for number in sorted(sets)]
            print(format_tree({"name": target.name, "revisions": rows}, output), end="")
            continue
        print(target.resource.label(target.name))
        grid = Grid(["REVISION", "CHANGE-CAUSE"])
        print(*grid.lines([[str(number), _cause(sets[number])] for number in sorted(sets)]), sep="\n")
    return 0


async def undo(
    session: Session,
    targets: TARGETS,
    to_revision: Annotated[int, typer.Option("--to-revision", help="0: the one before the present one.")] = 0,
) -> int:
    """Go back to an earlier revision."""
    for target in await _deployments(session, targets):
        deployment, sets = await _revisions(session, target)
        label = target.resource.label(target.name)
        if deployment["spec"].get("paused"):
            raise CommandError(
                f"you cannot rollback a paused deployment; resume it first with `rollout resume {label}`"
            )
        chosen = choose_revision(sets, to_revision, target.name)
        template = template_of(sets[chosen])
        if template == deployment["spec"]["template"]:
            print(f"{label} skipped rollback (current template already matches revision {chosen})")
            continue
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        await _patch(session, target, patch, "json")
        print(f"{label} rolled back")
    return 0


def choose_revision(sets: dict[int, Tree], wanted: int, name: str) -> int:
    """The revision to go back to; by default the last but one."""
    if wanted:
        if wanted not in sets:
            raise CommandError(f"unable to find specified revision {wanted} in history")
        return wanted
    if len(sets) < 2:
        raise CommandError(f'no rollout history found for deployment "{name}"')
    return sorted(sets)[-2]


def template_of(replica_set: Tree) -> Tree:
    """The pod template as the Deployment had it: without the label that tells ReplicaSets apart."""
    template: Tree = replica_set["spec"]["template"]
    meta = template.get("metadata") or {}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != TEMPLATE_HASH}
    return {**template, "metadata": {**meta, "labels": labels}}


async def restart(session: Session, targets: TARGETS) -> int:
    """Replace all pods, by the Deployment's own strategy."""
    for target in await _deployments(session, targets):
        tree = await session.get(target.resource.path(session.namespace, target.name))
        if tree["spec"].get("paused"):
            raise CommandError(f"can't restart paused deployment (run rollout resume {target.name} first)")
        annotations = {RESTARTED_AT: now_rfc3339(time.time())}
        await _patch(session, target, {"spec": {"template": {"metadata": {"annotations": annotations}}}}, "strategic")
        print(f"{target.resource.label(target.name)} restarted")
    return 0


async def pause(session: Session, targets: TARGETS) -> int:
    """Let changes of the Deployment wait."""
    return await _set_paused(session, targets, True)


async def resume(session: Session, targets: TARGETS) -> int:
    """Roll out what has waited."""
    return await _set_paused(session, targets, False)


async def _set_paused(session: Session, words: list[str], paused: bool) -> int:
    done = "paused" if paused else "resumed"
    for target in await _deployments(session, words):
        tree = await session.get(target.resource.path(session.namespace, target.name))
        if bool(tree["spec"].get("paused")) == paused:
            raise CommandError(f'deployments.apps "{target.name}" is {"already" if paused else "not"} paused')
        await _patch(session, target, {"spec": {"paused": True if paused else None}}, "strategic")
        print(f"{target.resource.label(target.name)} {done}")
    return 0


async def _deployments(session: Session, words: list[str]) -> list[Target]:
    targets = named_targets(words, await session.catalogue())
    for target in targets:
        if target.resource.kind != "Deployment":
            raise CommandError(f"{target.resource.qualified} have no rollout")
    return targets


async def _revisions(session: Session, target: Target) -> tuple[Tree, dict[int, Tree]]:
    """The Deployment, and its ReplicaSets by revision."""
    deployment = await session.get(target.resource.path(session.namespace, target.name))
    resource = (await session.catalogue()).find("replicasets.apps")
    query = {"labelSelector": selector_text(deployment["spec"]["selector"])}
    uid = deployment["metadata"]["uid"]
    sets: dict[int, Tree] = {}
    for each in await session.list(resource, query):
        owners = each["metadata"].get("ownerReferences") or []
        number = (each["metadata"].get("annotations") or {}).get(REVISION, "")
        if number.isdigit() and any(owner["uid"] == uid for owner in owners):
            sets[int(number)] = each
    return deployment, sets


def _cause(replica_set: Tree) -> str:
    return str((replica_set["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, "<none>"))


async def _patch(session: Session, target: Target, patch: Any, kind: str) -> None:
    path = target.resource.path(session.namespace, target.name)
    params = {"fieldManager": "kubectl-rollout"}
    await session.send("PATCH", path, patch, params=params, content_type=PATCH_TYPES[kind])
