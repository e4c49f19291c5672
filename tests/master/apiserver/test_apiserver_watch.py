"""Watches over HTTP: where they begin, what they show, how they end."""

from typing import Any

import pytest
from apiserver_harness import Caller, ServerThread
from apiserver_watching import Watch

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


@pytest.fixture
def folder(admin: Caller, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own; the path of its configmaps."""
    name = f"watch-{abs(hash(request.node.name)) % 10**8}"
    assert admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
    return f"/api/v1/namespaces/{name}/configmaps"


def add(admin: Caller, folder: str, name: str, **labels: str) -> Any:
    answer = admin.post(folder, {"metadata": {"name": name, "labels": labels}})
    assert answer.code == 201, answer.body
    return answer.json


def version(tree: Any) -> str:
    text: str = tree["metadata"]["resourceVersion"]
    return text


def test_a_watch_without_a_version_begins_with_what_exists(admin: Caller, folder: str) -> None:
    add(admin, folder, "one")
    with Watch(admin, f"{folder}?watch=true") as watch:
        assert watch.next()["object"]["metadata"]["name"] == "one"
        add(admin, folder, "two")
        event = watch.next()
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "two")
        assert event["object"]["kind"] == "ConfigMap" and event["object"]["apiVersion"] == "v1"


def test_a_watch_from_a_version_shows_every_later_event_in_order(admin: Caller, folder: str) -> None:
    first = add(admin, folder, "one")
    admin.patch(f"{folder}/one", {"data": {"a": "1"}})
    deleted = admin.delete(f"{folder}/one")
    assert deleted.code == 200
    with Watch(admin, f"{folder}?watch=1&resourceVersion={version(first)}") as watch:
        modified, gone = watch.next(), watch.next()
        assert [modified["type"], gone["type"]] == ["MODIFIED", "DELETED"]
        assert gone["object"]["data"] == {"a": "1"}, "a deletion shows the last state"
        assert int(version(gone["object"])) > int(version(modified["object"])) > int(version(first))


def test_entering_and_leaving_a_selector_look_like_creation_and_deletion(admin: Caller, folder: str) -> None:
    start = version(add(admin, folder, "one", color="blue"))
    path = f"{folder}?watch=true&labelSelector=color%3Dred&resourceVersion={start}"
    with Watch(admin, path) as watch:
        admin.patch(f"{folder}/one", {"metadata": {"labels": {"color": "red"}}})
        assert watch.next()["type"] == "ADDED"
        left = admin.patch(f"{folder}/one", {"metadata": {"labels": {"color": "green"}}}).json
        event = watch.next()
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["labels"] == {"color": "red"}, "the last state that matched"
        assert version(event["object"]) == version(left), "at the new version"


def test_a_watch_list_streams_the_state_and_marks_its_end(admin: Caller, folder: str) -> None:
    for name in ("one", "two"):
        add(admin, folder, name)
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with Watch(admin, f"{folder}?{query}") as watch:
        added = [watch.next()["object"]["metadata"]["name"] for _ in range(2)]
        assert added == ["one", "two"]
        mark = watch.next()
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert mark["object"]["kind"] == "ConfigMap"
        three = add(admin, folder, "three")
        event = watch.next()
        assert event["object"]["metadata"]["name"] == "three"
        assert int(version(three)) > int(version(mark["object"]))


def test_a_version_before_the_window_is_an_error_event_in_a_good_answer(
    admin: Caller, folder: str, server: ServerThread
) -> None:
    with Watch(admin, f"{folder}?watch=true&resourceVersion=0&timeoutSeconds=1") as watch:
        assert watch.response.status == 200
    assert server.server is not None
    cache = server.server.context.feed.caches["/configmaps"]
    floor, cache._floor = cache._floor, 10**9
    try:
        with Watch(admin, f"{folder}?watch=true&resourceVersion=1") as watch:
            assert watch.response.status == 200
            event = watch.next()
            assert event["type"] == "ERROR"
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
            assert watch.next() is None
    finally:
        cache._floor = floor


def test_a_watch_ends_cleanly_after_its_time(admin: Caller, folder: str) -> None:
    with Watch(admin, f"{folder}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=1") as watch:
        last = None
        while (event := watch.next()) is not None:
            last = event
        assert last is not None and last["type"] == "BOOKMARK", "a bookmark shortly before the end"


def test_a_table_watch_brings_the_columns_once(admin: Caller, folder: str) -> None:
    add(admin, folder, "one")
    with Watch(admin, f"{folder}?watch=true", TABLE) as watch:
        first = watch.next()["object"]
        assert first["kind"] == "Table"
        assert [column["name"] for column in first["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert first["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        add(admin, folder, "two")
        second = watch.next()["object"]
        assert second["columnDefinitions"] is None
        assert second["rows"][0]["cells"][0] == "two"


def test_a_metadata_watch_shows_metadata_only(admin: Caller, folder: str) -> None:
    add(admin, folder, "one")
    with Watch(admin, f"{folder}?watch=true", PARTIAL) as watch:
        event = watch.next()["object"]
        assert set(event) == {"kind", "apiVersion", "metadata"}
        assert event["kind"] == "PartialObjectMetadata" and event["metadata"]["name"] == "one"


def test_a_single_object_is_watched_by_its_path(admin: Caller, folder: str) -> None:
    for name in ("one", "two"):
        add(admin, folder, name)
    with Watch(admin, f"{folder}/two?watch=true") as watch:
        assert watch.next()["object"]["metadata"]["name"] == "two"
    assert admin.get(f"{folder}/two?watch=true&fieldSelector=metadata.name%3Done").code == 400
