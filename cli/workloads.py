"""From a word to a pod: `web-1`, `pod/web-1`, `deployment/web`."""

from collections.abc import Mapping

from cli.errors import CommandError
from cli.resources import Target, Tree, parse_targets
from cli.session import Session

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def target_of(session: Session, word: str) -> Target:
    """A bare word is a pod."""
    catalogue = await session.catalogue()
    if "/" not in word:
        return Target(catalogue.find("pods"), word)
    return parse_targets([word], catalogue)[0]


async def pods_of(session: Session, target: Target) -> list[Tree]:
    """The pod itself, or all pods that a workload's (or Service's) selector chooses."""
    catalogue = await session.catalogue()
    tree = await session.get(target.resource.path(session.namespace, target.name))
    if target.resource.kind == "Pod":
        return [tree]
    selector = selector_text((tree.get("spec") or {}).get("selector"))
    if not selector:
        raise CommandError(f"{target.resource.label(target.name)} has no selector that leads to pods")
    return await session.list(catalogue.find("pods"), {"labelSelector": selector})


async def pod_of(session: Session, word: str) -> Tree:
    """One pod, of several the one most likely to answer: running and ready, then the newest."""
    pods = await pods_of(session, await target_of(session, word))
    if not pods:
        raise CommandError(f"{word} has no pods")
    return max(pods, key=lambda pod: (is_ready(pod), phase(pod) == "Running", pod["metadata"]["creationTimestamp"]))


def selector_text(selector: object) -> str:
    """The `labelSelector` parameter for a LabelSelector or a plain map of labels."""
    if not isinstance(selector, Mapping):
        return ""
    labels = selector.get("matchLabels", {}) if selector.keys() & {"matchLabels", "matchExpressions"} else selector
    terms = [f"{key}={value}" for key, value in sorted(labels.items())]
    for expression in selector.get("matchExpressions", ()):
        key, values = expression["key"], ",".join(expression.get("values", ()))
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        terms.append(forms.get(expression["operator"], f"!{key}"))
    return ",".join(terms)


def container_of(pod: Tree, wanted: str) -> str:
    """The container to talk to."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    others = [
        each["name"] for field in ("initContainers", "ephemeralContainers") for each in pod["spec"].get(field, [])
    ]
    if wanted:
        if wanted not in [*names, *others]:
            raise CommandError(f"container {wanted} is not valid for pod {pod['metadata']['name']}")
        return wanted
    marked = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    return marked if marked in names else str(names[0])


def is_ready(pod: Tree) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def phase(pod: Tree) -> str:
    return str((pod.get("status") or {}).get("phase", ""))
