"""Watches for people: events of a path, taken up again when the server ends the stream."""

import json
from collections.abc import AsyncIterator, Mapping

from cli.resources import Tree
from cli.session import Session
from master.api.meta import Status
from master.api.status import ApiError
from master.client.watch import LineSplitter

WATCH_TIMEOUT_S = 3600


async def watch_lines(
    session: Session, path: str, params: Mapping[str, str], accept: str = "application/json"
) -> AsyncIterator[Tree]:
    """ADDED, MODIFIED and DELETED events from `params["resourceVersion"]` on, for ever."""
    query = {**params, "watch": "true", "timeoutSeconds": str(WATCH_TIMEOUT_S)}
    while True:
        splitter = LineSplitter()
        async with session.client.streams.open(path, params=query, headers={"Accept": accept}) as stream:
            async for chunk in stream:
                for line in splitter.feed(chunk):
                    event: Tree = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise ApiError.from_status(
                            Status(message=status.get("message", ""), reason=status.get("reason", ""))
                        )
                    query["resourceVersion"] = _version(event["object"]) or query["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event


def _version(tree: Tree) -> str:
    """Of an object, or of the last row of a Table."""
    if tree.get("kind") == "Table":
        rows = tree.get("rows") or [{}]
        tree = rows[-1].get("object") or {}
    version: str = (tree.get("metadata") or {}).get("resourceVersion", "")
    return version
