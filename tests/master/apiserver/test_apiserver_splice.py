"""Versions are spliced into stored bytes without decoding them; decoding must see what splicing meant."""

from hypothesis import given
from hypothesis import strategies as st

from master.api.meta import ObjectMeta
from master.api.scheme import SCHEME, ResourceInfo
from master.apiserver.entry import entry_of
from master.apiserver.keys import at_revision, object_key, resource_prefix, split_key, with_revision

texts = st.text(min_size=1, max_size=20)


@given(st.sampled_from(SCHEME.all()), texts, st.dictionaries(texts, texts, max_size=3), st.integers(1, 10**12))
def test_a_spliced_version_is_the_objects_own(
    info: ResourceInfo, name: str, labels: dict[str, str], revision: int
) -> None:
    metadata = ObjectMeta(name=name, labels=labels, annotations={'"metadata":{': '"resourceVersion":"'})
    obj = info.struct(metadata=metadata)
    data = with_revision(info.encode(obj), revision)
    decoded = info.decode(data)
    assert decoded.metadata.resource_version == str(revision)
    assert decoded.metadata.labels == labels
    moved = info.decode(at_revision(data, revision + 7))
    assert moved.metadata.resource_version == str(revision + 7)
    decoded.metadata.resource_version = moved.metadata.resource_version = ""
    assert info.encode(decoded) == info.encode(moved) == info.encode(info.decode(info.encode(obj)))
    assert dict(entry_of(info, "k", revision, info.encode(obj)).labels) == labels


def test_keys_tell_their_resource_and_their_object() -> None:
    for info in SCHEME.all():
        key = object_key(info, "ns", "name")
        assert split_key(key) == (resource_prefix(info), "ns/name" if info.namespaced else "name")
    assert split_key("/registry/masterleases/m1")[0] == ""
    assert split_key("/elsewhere/a/b/c")[0] == ""
