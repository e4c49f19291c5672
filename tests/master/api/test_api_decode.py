"""Bodies of clients: field validation, Go's error texts, hostile texts, and YAML's traps."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.decode import decode, decode_options, decode_tree, media_type_of, strict_error
from master.api.meta import DeleteOptions
from master.api.resource import ResourceInfo
from master.api.scheme import SCHEME
from master.api.status import BadRequest, UnsupportedMediaType

YAML = "application/yaml"


def info(kind: str, group: str = "") -> ResourceInfo:
    found = SCHEME.by_kind(group, "v1", kind)
    assert found is not None
    return found


POD, CONFIG, DEPLOYMENT, LEASE = (
    info("Pod"),
    info("ConfigMap"),
    info("Deployment", "apps"),
    info("Lease", "coordination.k8s.io"),
)


def refusal(of: ResourceInfo, body: Any, content_type: str = "application/json") -> str:
    text = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    with pytest.raises(BadRequest) as caught:
        decode(of, text, content_type)
    return caught.value.message


def test_kind_and_version_may_be_missing_and_are_filled_in() -> None:
    obj = decode(DEPLOYMENT, b'{"metadata":{"name":"x"}}').object
    assert (obj.kind, obj.api_version, obj.metadata.name) == ("Deployment", "apps/v1", "x")


def test_unknown_fields_are_found_with_their_path_and_dropped() -> None:
    body = {"spec": {"containers": [{"name": "c", "foo": 1, "ports": [{"bar": {}}]}], "zip": None}, "top": []}
    decoded = decode(POD, json.dumps(body).encode())
    assert decoded.findings == [
        'unknown field "spec.containers[0].foo"',
        'unknown field "spec.containers[0].ports[0].bar"',
        'unknown field "spec.zip"',
        'unknown field "top"',
    ]
    assert decoded.object.spec.containers[0].name == "c"


def test_duplicate_fields_are_found_and_the_last_one_wins() -> None:
    body = b'{"spec":{"replicas":1,"replicas":2,"template":{"spec":{"containers":[{"name":"a","name":"b"}]}}}}'
    decoded = decode(DEPLOYMENT, body)
    assert decoded.findings == [
        'duplicate field "spec.replicas"',
        'duplicate field "spec.template.spec.containers[0].name"',
    ]
    assert decoded.object.spec.replicas == 2
    assert strict_error(DEPLOYMENT, decoded.findings[:1]).message == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'duplicate field "spec.replicas"'
    )


def test_equal_keys_of_different_objects_are_no_duplicates() -> None:
    assert decode(POD, b'{"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}').findings == []


@pytest.mark.parametrize(
    ("of", "body", "fault"),
    [
        (
            DEPLOYMENT,
            {"spec": {"replicas": "3"}},
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "a", "value": 1}]}]}}}},
            "number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 1.5}},
            "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 2**31}},
            "number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            POD,
            {"spec": {"containers": {}}},
            "object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (POD, {"spec": []}, "array into Go struct field Pod.spec of type v1.PodSpec"),
        (POD, {"spec": {"hostNetwork": 1}}, "number into Go struct field PodSpec.spec.hostNetwork of type bool"),
        (
            POD,
            {"metadata": {"labels": ["a"]}},
            "array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            POD,
            {"metadata": {"generation": 2**63}},
            "number 9223372036854775808 into Go struct field ObjectMeta.metadata.generation of type int64",
        ),
    ],
)
def test_wrong_types_are_refused_in_the_words_of_go(of: ResourceInfo, body: Any, fault: str) -> None:
    assert refusal(of, body) == (
        f'{of.kind} in version "v1" cannot be handled as a {of.kind}: json: cannot unmarshal {fault}'
    )


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"{", "unexpected end of JSON input ({)"),
        (b'{"a":x}', "invalid character 'x' looking for beginning of value ({\"a\":x})"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string ({'a':1})"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value ({\"a\":NaN})"),
    ],
)
def test_broken_json_is_refused_with_a_summary(body: bytes, fault: str) -> None:
    prefix = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
    assert refusal(POD, body) == prefix + fault


def test_a_body_that_is_no_object_is_refused() -> None:
    assert "json: cannot unmarshal array into Go value of type struct" in refusal(POD, b"[]")


def test_deep_nesting_is_refused_by_every_reader() -> None:
    assert "exceeded max depth" in refusal(POD, b'{"a":' * 101 + b"1" + b"}" * 101)
    assert "exceeded max depth" in refusal(POD, b"[" * 100_000)
    assert "exceeded max depth" in refusal(POD, "[" * 1_000_000, YAML)
    assert "exceeded max depth" in refusal(POD, "- " * 1_000_000, YAML)
    assert decode(POD, b'{"a":"' + b"[" * 500 + b'"}').findings == ['unknown field "a"']


def test_quantities_are_checked_and_made_canonical() -> None:
    limits = {"cpu": 0.5, "memory": "1024Mi", "example.com/x": 2}
    body = {"spec": {"containers": [{"resources": {"limits": limits}}]}}
    resources = decode(POD, json.dumps(body).encode()).object.spec.containers[0].resources
    assert resources.limits == {"cpu": "500m", "memory": "1Gi", "example.com/x": "2"}
    limits["cpu"] = "abc"
    assert refusal(POD, body).endswith(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )


def test_times_are_normalised_and_micro_times_need_their_fraction() -> None:
    body = {
        "metadata": {"creationTimestamp": "2026-01-02T03:04:05.5+02:00"},
        "spec": {"renewTime": "2026-01-02T03:04:05.000000Z"},
    }
    lease = decode(LEASE, json.dumps(body).encode()).object
    assert lease.metadata.creation_timestamp == "2026-01-02T01:04:05Z"
    assert lease.spec.renew_time == "2026-01-02T03:04:05.000000Z"
    assert 'cannot parse "Z" as ".000000"' in refusal(LEASE, {"spec": {"renewTime": "2026-01-02T03:04:05Z"}})
    assert 'parsing time "soon"' in refusal(POD, {"metadata": {"creationTimestamp": "soon"}})


def test_null_is_absence() -> None:
    body = {"metadata": {"creationTimestamp": None, "labels": None, "name": None}, "spec": None, "status": None}
    pod = decode(POD, json.dumps(body).encode()).object
    assert (pod.metadata.creation_timestamp, pod.metadata.labels, pod.metadata.name) == (None, {}, "")
    assert decode(CONFIG, b'{"data":{"a":null}}').object.data == {"a": ""}


def test_another_kind_or_version_is_refused() -> None:
    assert refusal(CONFIG, {"kind": "Pod", "apiVersion": "v1"}) == (
        'Pod in version "v1" cannot be handled as a ConfigMap: '
        "converting (v1.Pod) to (core.ConfigMap): unknown conversion"
    )
    assert refusal(CONFIG, {"kind": "Deployment", "apiVersion": "apps/v1"}) == (
        "the API version in the data (apps/v1) does not match the expected API version (v1)"
    )
    assert "Go struct field .Kind" in refusal(CONFIG, {"kind": 1})


def test_yaml_is_read_without_its_traps() -> None:
    body = b"""
metadata:
  name: x
  labels: {port: "22:22", time: '2026-01-01'}
  annotations: {on: "yes", octal: "0644"}
data:
  k: |
    text
"""
    config = decode(CONFIG, body, YAML).object
    assert config.metadata.labels == {"port": "22:22", "time": "2026-01-01"}
    assert config.metadata.annotations == {"true": "yes", "octal": "0644"}
    assert config.data == {"k": "text\n"}
    pod = decode(POD, b"spec: {volumes: [{name: v, secret: {defaultMode: 0644}}], hostNetwork: yes}", YAML).object
    assert (pod.spec.volumes[0].secret.default_mode, pod.spec.host_network) == (0o644, True)
    assert decode(POD, b"spec: {activeDeadlineSeconds: 0x10}", YAML).object.spec.active_deadline_seconds == 16
    assert "number into" in refusal(CONFIG, "data: {a: 1}", YAML)
    assert decode(CONFIG, b"data: {a: 22:22, b: 2026-01-01}", YAML).object.data == {"a": "22:22", "b": "2026-01-01"}


def test_yaml_duplicates_are_found_and_merges_expand() -> None:
    assert decode(CONFIG, b"data: {a: x, a: y}", YAML).findings == ['duplicate field "data.a"']
    merged = decode(CONFIG, b"data: {<<: &base {a: x, b: y}, b: z}\n", YAML).object
    assert merged.data == {"a": "x", "b": "z"}


def test_yaml_bombs_and_tags_are_refused() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n"
    assert "excessive aliasing" in refusal(CONFIG, bomb, YAML)
    assert "contains itself" in refusal(CONFIG, "a: &a [*a]", YAML)
    assert "unsupported tag" in refusal(CONFIG, "data: {a: !!python/object:os.system x}", YAML)
    assert "unsupported value" in refusal(CONFIG, "data: {a: .nan}", YAML)
    assert "yaml:" in refusal(CONFIG, "a: [", YAML)


def test_options_bodies_need_neither_kind_nor_version() -> None:
    options = decode_options(DeleteOptions, b'{"propagationPolicy":"Background","gracePeriodSeconds":0}')
    assert (options.propagation_policy, options.grace_period_seconds) == ("Background", 0)
    assert decode_options(DeleteOptions, b"{}").grace_period_seconds is None
    with pytest.raises(BadRequest):
        decode_options(DeleteOptions, b'{"gracePeriodSeconds":"x"}')


def test_trees_are_judged_like_bodies() -> None:
    tree = {"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "b"}, "foo": 1}
    assert decode_tree(CONFIG, tree).findings == ['unknown field "foo"']
    assert tree["foo"] == 1


def test_media_types() -> None:
    assert media_type_of(None) == "application/json"
    assert media_type_of("application/json; charset=utf-8") == "application/json"
    with pytest.raises(UnsupportedMediaType):
        media_type_of("application/cbor")


@given(st.binary(max_size=60))
def test_no_bytes_make_a_reader_fail_otherwise_than_by_bad_request(body: bytes) -> None:
    for content_type in ("application/json", YAML, "application/vnd.kubernetes.protobuf"):
        for prefix in (b"", b'{"spec":', b"k8s\x00\n\x0b\n\x02v1\x12\x03Pod\x12"):
            with suppress(BadRequest):
                decode(POD, prefix + body, content_type)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "name", "labels", "containers", "env", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "y"]), JSON))
def test_whatever_is_accepted_can_be_encoded_and_decoded_again(tree: dict[str, Any]) -> None:
    try:
        pod = decode_tree(POD, tree).object
    except BadRequest:
        return
    again = decode(POD, POD.encode(pod))
    assert again.object == pod
    assert again.findings == []
