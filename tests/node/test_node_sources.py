"""Static pods and their mirrors beside the API: nodes that vanish, versions that follow each other."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from master.api.core.node import Node
from master.api.core.pod import Pod
from master.api.meta import ObjectMeta
from node import podsource
from node.podsource import PodSource
from node.registration import known_node
from node.statics import ManifestFolder

MANIFEST = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n"


class FakeApi:
    """Takes mirrors in and forgets them, as the collector does when their node is gone."""

    def __init__(self) -> None:
        self.created: list[Pod] = []

    async def create(self, obj: Pod) -> Pod:
        self.created.append(obj)
        return obj


def node(version: str = "1") -> Node:
    return Node(metadata=ObjectMeta(name="node-1", uid="uid-node", resource_version=version))


def test_no_mirror_is_made_while_the_node_does_not_exist(tmp_path: Path, monkeypatch: Any) -> None:
    """It would be collected at once, and made again, and so on."""
    monkeypatch.setattr(podsource, "MIRROR_RETRY_S", 0.0)

    async def body() -> None:
        (tmp_path / "web.yaml").write_text(MANIFEST)
        api, asked = FakeApi(), list[Node | None]()

        def own_node() -> Node | None:
            asked.append(node() if len(asked) >= 3 else None)
            return asked[-1]

        folder = ManifestFolder(tmp_path, "node-1")
        source = PodSource(api, "node-1", folder, lambda uid: None, own_node)  # type: ignore[arg-type]
        source.informer._synced.set()
        tasks = [asyncio.create_task(source._scan_manifests(folder)), asyncio.create_task(source._keep_mirrors())]
        await until(lambda: bool(api.created))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert asked[:4] == [None, None, None, node()]
        assert [owner.uid for owner in api.created[0].metadata.owner_references] == ["uid-node"]

    asyncio.run(body())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0)


def test_the_own_node_is_what_was_written_until_the_cache_has_come_so_far() -> None:
    written, cached = node("7"), node("9")
    assert known_node(None, "", None) is None
    assert known_node(None, "6", written) is written, "the cache has not heard of it yet"
    assert known_node(None, "7", written) is None, "deleted since"
    assert known_node(cached, "9", written) is cached
    assert known_node(node("6"), "6", written) is written
