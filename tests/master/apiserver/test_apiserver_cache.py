"""The watch cache against a model: every state, present or past, and what every watcher sees of the way there."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from master.api.core.configmap import ConfigMap
from master.api.core.pod import Pod
from master.api.scheme import SCHEME
from master.apiserver import cache as cache_module
from master.apiserver.cache import HistoryGone, ResourceCache
from master.apiserver.entry import Entry
from master.apiserver.selection import Selection, parse_selection
from master.apiserver.watchers import Watcher

CONFIGMAPS = SCHEME.by_struct(ConfigMap)
PODS = SCHEME.by_struct(Pod)

steps = st.lists(
    st.tuples(st.sampled_from(["a/x", "a/y", "b/x", "a-b/x"]), st.sampled_from(["red", "blue", None])), max_size=40
)
selections = st.sampled_from([("", ""), ("a", ""), ("", "color=red"), ("a", "color!=red"), ("b", "color=blue")])


def raw(key: str, color: str) -> bytes:
    namespace, _, name = key.rpartition("/")
    metadata = {"name": name, "namespace": namespace, "labels": {"color": color}}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, separators=(",", ":")).encode()


def run(cache: ResourceCache, history: list[tuple[str, str | None]]) -> list[dict[str, str]]:
    """Apply the steps; the model's state at each revision, the first being revision 0."""
    states: list[dict[str, str]] = [{}]
    for key, color in history:
        state = dict(states[-1])
        if color is None:
            state.pop(key, None)
        else:
            state[key] = color
        states.append(state)
        cache.apply(key, len(states) - 1, None if color is None else raw(key, color))
    return states


def shown(entries: list[Entry]) -> dict[str, str]:
    return {entry.key: entry.labels["color"] for entry in entries}


def selected(state: dict[str, str], namespace: str, labels: str) -> dict[str, str]:
    def wanted(color: str) -> bool:
        name, _, value = labels.partition("=")
        if not labels:
            return True
        return color != value if name.endswith("!") else color == value

    inside = {key: color for key, color in state.items() if not namespace or key.startswith(f"{namespace}/")}
    return {key: color for key, color in inside.items() if wanted(color)}


@given(steps, selections)
@settings(max_examples=150, deadline=None)
def test_every_state_since_the_beginning_can_be_read(
    history: list[tuple[str, str | None]], chosen: tuple[str, str]
) -> None:
    cache = ResourceCache(CONFIGMAPS)
    states = run(cache, history)
    selection = parse_selection(CONFIGMAPS, *chosen, "")
    for revision, state in enumerate(states):
        entries = cache.select_at(selection, revision)
        assert shown(entries) == selected(state, *chosen)
        assert [entry.key for entry in entries] == sorted(entry.key for entry in entries)


@given(steps, selections, st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_a_watcher_that_replays_its_events_has_the_selected_state(
    history: list[tuple[str, str | None]], chosen: tuple[str, str], joined_at: int
) -> None:
    cache = ResourceCache(CONFIGMAPS)
    joined_at = min(joined_at, len(history))
    states = run(cache, history[:joined_at])
    selection = parse_selection(CONFIGMAPS, *chosen, "")
    seen = {entry.key: entry.labels["color"] for entry in cache.select(selection)}
    watcher = Watcher(selection, "", _line)
    cache.watchers.add(watcher)
    for offset, (key, color) in enumerate(history[joined_at:], start=joined_at + 1):
        cache.apply(key, offset, None if color is None else raw(key, color))
        states.append({k: v for k, v in {**states[-1], key: color}.items() if v is not None})
    versions = []
    for line in watcher.take().splitlines():
        event = json.loads(line)
        metadata = event["object"]["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        assert (key in seen) == (event["type"] != "ADDED")
        versions.append(int(metadata["resourceVersion"]))
        if event["type"] == "DELETED":
            del seen[key]
        else:
            seen[key] = metadata["labels"]["color"]
    assert seen == selected(states[-1], *chosen)
    assert versions == sorted(versions)


def _line(kind: str, entry: Entry) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), entry.data)


def test_history_that_left_the_window_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(cache_module, "HISTORY_EVENTS", 3)
    cache = ResourceCache(CONFIGMAPS)
    run(cache, [("a/x", color) for color in ("red", "blue", "red", "blue", "red")])
    assert [change.revision for change in cache.changes_after(2)] == [3, 4, 5]
    for revision in (0, 1):
        try:
            cache.changes_after(revision)
        except HistoryGone as error:
            assert error.oldest == 2
        else:
            raise AssertionError("history before the window must be refused")


def test_a_watcher_that_lags_is_cut_and_loses_its_buffer(monkeypatch: Any) -> None:
    monkeypatch.setattr("master.apiserver.watchers.BUFFER_EVENTS", 2)
    cache = ResourceCache(CONFIGMAPS)
    watcher = Watcher(Selection(), "", _line)
    cache.watchers.add(watcher)
    run(cache, [("a/x", "red"), ("a/x", "blue"), ("a/x", "red")])
    assert watcher.ended and watcher.overflowed
    assert watcher.take() == b""


def test_the_line_of_an_event_is_encoded_once_for_all_watchers() -> None:
    calls = []

    def encode(kind: str, entry: Entry) -> bytes:
        calls.append(kind)
        return _line(kind, entry)

    cache = ResourceCache(CONFIGMAPS)
    watchers = [Watcher(Selection(), "", encode) for _ in range(50)]
    watchers += [Watcher(Selection("a"), "", encode) for _ in range(50)]
    for watcher in watchers:
        cache.watchers.add(watcher)
    run(cache, [("a/x", "red")])
    assert calls == ["ADDED"]
    assert all(watcher.take() for watcher in watchers)


def test_watchers_of_one_node_are_asked_only_about_its_pods() -> None:
    cache = ResourceCache(PODS)
    watchers = {}
    for node in ("n1", "n2"):
        watchers[node] = Watcher(parse_selection(PODS, "", "", f"spec.nodeName={node}"), "", _line)
        cache.watchers.add(watchers[node])
    body = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"a"},"spec":{%b}}'
    cache.apply("a/p", 1, body % b"")
    cache.apply("a/p", 2, body % b'"nodeName":"n1"')
    cache.apply("a/p", 3, None)
    types = [json.loads(line)["type"] for line in watchers["n1"].take().splitlines()]
    assert types == ["ADDED", "DELETED"]
    assert watchers["n2"].take() == b""
    for watcher in watchers.values():
        cache.watchers.remove(watcher)
    assert len(cache.watchers) == 0
