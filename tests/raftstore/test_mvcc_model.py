"""The key space against a naive model that keeps a copy of everything at every revision."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftstore.errors import Compacted, FutureRevision
from raftstore.keys import prefix_end
from raftstore.mvcc import FIRST_REVISION, KeySpace
from raftstore.protocol import KeyValue

KEYS = ["/a", "/a/1", "/a/2", "/a/2/x", "/b/1", "/b/\U0010ffff", "/b/é", "/c"]
PREFIXES = ["", "/", "/a", "/a/", "/a/2", "/b/", "/b/\U0010ffff", "/d"]

writes = st.lists(
    st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), st.binary(max_size=3))),
    min_size=1,
    max_size=4,
    unique_by=lambda write: write[0],
)
steps = st.lists(st.one_of(writes, st.floats(0, 1)), max_size=40)


class NaiveModel:
    """Every revision's whole content, and every event."""

    def __init__(self) -> None:
        self.revision = FIRST_REVISION
        self.compact_revision = 0
        self.at: dict[int, dict[str, KeyValue]] = {0: {}, FIRST_REVISION: {}}
        self.events: list[tuple[int, str, bytes | None, bytes | None]] = []

    def write(self, transaction: list[tuple[str, bytes | None]]) -> None:
        now = dict(self.at[self.revision])
        revision = self.revision + 1
        changed = False
        for key, value in transaction:
            old = now.get(key)
            if value is None:
                if old is None:
                    continue
                del now[key]
            else:
                created = old.create_revision if old else revision
                now[key] = KeyValue(key, value, created, revision, (old.version if old else 0) + 1)
            changed = True
            self.events.append((revision, key, value, old.value if old else None))
        if changed:
            self.revision = revision
            self.at[revision] = now


def run(history: list[list[tuple[str, bytes | None]] | float]) -> tuple[KeySpace, NaiveModel]:
    space, model = KeySpace(), NaiveModel()
    for step in history:
        if isinstance(step, float):
            revision = round(model.compact_revision + step * (model.revision - model.compact_revision))
            if revision > model.compact_revision:
                space.compact(revision)
                model.compact_revision = revision
            continue
        before = space.event_count()
        for key, value in step:
            if value is None:
                space.delete(key, space.revision + 1)
            else:
                space.put(key, value, 0, space.revision + 1)
        if space.event_count() != before:
            space.revision += 1
        model.write(step)
    return space, model


def check_same(space: KeySpace, model: NaiveModel) -> None:
    assert space.revision == model.revision
    assert space.compact_revision == model.compact_revision
    assert space.value_bytes == sum(len(kv.value) for kv in model.at[model.revision].values())
    for revision in range(max(1, model.compact_revision), model.revision + 1):
        content = model.at[revision]
        for key in KEYS:
            assert space.get_at(key, revision) == content.get(key)
        for prefix in PREFIXES:
            expected = [content[key] for key in sorted(content) if key.startswith(prefix)]
            found = space.range(prefix, revision=revision)
            assert found.kvs == expected
            assert found.count == len(expected)
            assert found.revision == revision
            page = space.range(prefix, revision=revision, limit=2)
            assert page.kvs == expected[:2]
            assert page.more == (len(expected) > 2)
            assert page.count == len(expected)
            if page.more:
                rest = space.range(prefix, revision=revision, start_key=page.kvs[-1].key + "\0")
                assert rest.kvs == expected[2:]
                assert rest.count == len(expected) - 2


def seen_events(space: KeySpace, start: int) -> list[tuple[int, str, bytes | None, bytes | None]]:
    return [
        (
            event.kv.mod_revision,
            event.kv.key,
            event.kv.value if event.type == "PUT" else None,
            event.prev_kv.value if event.prev_kv else None,
        )
        for event in space.events_since(start, 1_000_000)
    ]


@settings(max_examples=150, deadline=None)
@given(steps)
def test_every_kept_revision_reads_as_in_the_naive_model(history: list) -> None:
    space, model = run(history)
    check_same(space, model)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_events_from_every_kept_revision_are_complete_and_in_order(history: list) -> None:
    space, model = run(history)
    for start in range(model.compact_revision + 1, model.revision + 2):
        assert seen_events(space, start) == [event for event in model.events if event[0] >= start]
    with pytest.raises(Compacted):
        space.events_since(model.compact_revision, 10)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_a_restored_view_is_the_same_key_space(history: list) -> None:
    space, model = run(history)
    view = space.view()
    copy = KeySpace()
    copy.restore(view.revision, view.compact_revision, list(view.base()), view.events)
    check_same(copy, model)
    assert seen_events(copy, model.compact_revision + 1) == seen_events(space, model.compact_revision + 1)
    assert copy.history_bytes == space.history_bytes


@settings(max_examples=50, deadline=None)
@given(steps, st.integers(1, 5))
def test_reading_events_in_pieces_never_splits_a_revision(history: list, limit: int) -> None:
    space, model = run(history)
    start, collected = model.compact_revision + 1, []
    while start <= model.revision:
        piece = space.events_since(start, limit)
        if not piece:
            break
        collected += piece
        start = piece[-1].kv.mod_revision + 1
    assert collected == space.events_since(model.compact_revision + 1, 1_000_000)


def test_revisions_outside_the_kept_range_are_refused() -> None:
    space, _ = run([[("/a", b"1")], [("/a", b"2")], [("/a", b"3")], 0.7])
    with pytest.raises(FutureRevision):
        space.range("/", revision=space.revision + 1)
    with pytest.raises(Compacted):
        space.get_at("/a", space.compact_revision - 1)
    with pytest.raises(Compacted):
        space.compact(space.compact_revision)


@given(st.text(min_size=1, max_size=4), st.text(max_size=6))
def test_a_prefix_range_holds_exactly_the_keys_with_that_prefix(prefix: str, key: str) -> None:
    end = prefix_end(prefix)
    inside = key >= prefix and (end is None or key < end)
    assert inside == key.startswith(prefix)


def test_a_large_range_comes_in_pages() -> None:
    space = KeySpace()
    value = bytes(100_000)
    for number in range(60):
        space.put(f"/k/{number:03}", value, 0, space.revision + 1)
        space.revision += 1
    page = space.range("/k/")
    assert page.more and 0 < len(page.kvs) < 60
    assert page.count == 60
