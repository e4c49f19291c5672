"""Protobuf bodies: what kubectl 1.32 really sent, and trees through an encoder of the tests' own."""

import json
from base64 import b64decode
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from master.api.decode import decode, decode_options
from master.api.meta import DeleteOptions
from master.api.protobuf import ProtobufFault
from master.api.protobuf import decode as decode_protobuf
from master.api.scheme import SCHEME
from master.api.status import BadRequest
from master.api.timestamps import parse_rfc3339

DATA = Path(__file__).parent / "data"
RECORDED = json.loads((DATA / "kubectl_1_32_bodies.json").read_text())
GOLDEN = json.loads((DATA / "golden_defaults.json").read_text())
TABLE = json.loads(resources.files("master.api").joinpath("protobuf_fields.json").read_text())
PROTOBUF = "application/vnd.kubernetes.protobuf"
PACKAGES = {"": "core", "apps": "apps", "discovery.k8s.io": "discovery", "coordination.k8s.io": "coordination"}


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, payload: bytes | int) -> bytes:
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def scalar(kind: str, value: Any) -> bytes | int:
    match kind:
        case "string":
            return str(value).encode()
        case "bytes":
            return b64decode(value)
        case "bool" | "int32" | "int64":
            return int(value)
        case "time" | "microTime":
            seconds = parse_rfc3339(value)
            return field(1, int(seconds)) + field(2, round(seconds % 1 * 1e9))
        case "quantity":
            return field(1, str(value).encode())
        case "intOrString":
            return field(1, 1) + field(3, value.encode()) if isinstance(value, str) else field(1, 0) + field(2, value)
        case "json":
            return field(1, json.dumps(value).encode())
    return message(kind, value)


def message(name: str, tree: dict[str, Any]) -> bytes:
    out = b""
    for number, spec in TABLE[name].items():
        wire, kind, flags = [*spec.split(" "), ""][:3]
        if "i" in flags:
            inner = message(kind, tree)
            out += field(int(number), inner) if inner else b""
        elif wire not in tree or tree[wire] is None:
            continue
        elif "m" in flags:
            for key, value in tree[wire].items():
                out += field(int(number), field(1, key.encode()) + field(2, scalar(kind, value)))
        elif "r" in flags:
            for item in tree[wire]:
                out += field(int(number), scalar(kind, item))
        else:
            out += field(int(number), scalar(kind, tree[wire]))
    return out


def envelope(tree: dict[str, Any]) -> bytes:
    group, _, _ = tree["apiVersion"].rpartition("/")
    meta = field(1, tree["apiVersion"].encode()) + field(2, tree["kind"].encode())
    return b"k8s\x00" + field(1, meta) + field(2, message(f"{PACKAGES[group]}.{tree['kind']}", tree))


def test_what_kubectl_create_sends() -> None:
    trees = [decode_protobuf(b64decode(recorded["body"])) for recorded in RECORDED]
    by_kind = {tree["kind"]: tree for tree in trees}
    assert by_kind["Namespace"] == {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "demo"}}
    assert by_kind["ConfigMap"]["data"] == {"a": "b", "empty": ""}
    assert by_kind["Secret"]["data"] == {"a": "Yg=="}
    deployment = by_kind["Deployment"]
    assert deployment["spec"]["replicas"] == 0
    assert deployment["spec"]["template"]["spec"] == {
        "containers": [{"name": "nginx", "image": "nginx:1", "ports": [{"containerPort": 80}]}]
    }
    assert by_kind["Service"]["spec"]["type"] == "ExternalName"


@pytest.mark.parametrize(
    "recorded", RECORDED, ids=lambda recorded: recorded["path"].rpartition("/")[2].partition("?")[0]
)
def test_what_kubectl_create_sends_becomes_valid_objects(recorded: dict[str, str]) -> None:
    body = b64decode(recorded["body"])
    tree = decode_protobuf(body)
    group, _, version = tree["apiVersion"].rpartition("/")
    info = SCHEME.by_kind(group, version, tree["kind"])
    assert info is not None
    decoded = decode(info, body, PROTOBUF)
    assert decoded.findings == []
    if info.namespaced:
        decoded.object.metadata.namespace = "default"
    assert info.validate(info.default(decoded.object)) == []


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["case"])
def test_an_object_is_the_same_in_json_and_in_protobuf(case: dict[str, Any]) -> None:
    tree = case["answer"]
    group, _, version = tree["apiVersion"].rpartition("/")
    info = SCHEME.by_kind(group, version, tree["kind"])
    assert info is not None
    by_json = decode(info, json.dumps(tree).encode())
    by_protobuf = decode(info, envelope(tree), PROTOBUF)
    assert by_protobuf == by_json


def test_numbers_are_signed_and_may_come_packed_and_unknown_fields_are_skipped() -> None:
    meta = field(1, b"v1") + field(2, b"Pod")
    security = field(4, varint(5) + varint(6)) + field(2, -1)
    spec = (
        field(14, security)
        + field(999, b"future")
        + varint(998 << 3 | 5)
        + b"1234"
        + varint(997 << 3 | 1)
        + b"12345678"
    )
    tree = decode_protobuf(b"k8s\x00" + field(1, meta) + field(2, field(2, spec)))
    assert tree["spec"]["securityContext"] == {"supplementalGroups": [5, 6], "runAsUser": -1}


def test_delete_options_are_the_same_whatever_their_group() -> None:
    for version in (b"v1", b"apps/v1", b"meta.k8s.io/v1"):
        body = (
            b"k8s\x00"
            + field(1, field(1, version) + field(2, b"DeleteOptions"))
            + field(2, field(1, 0) + field(4, b"Orphan"))
        )
        options = decode_options(DeleteOptions, body, PROTOBUF)
        assert (options.grace_period_seconds, options.propagation_policy) == (0, "Orphan")


@pytest.mark.parametrize("body", [b"", b"{}", b"k8s\x00", b"k8s\x00\xff", b"k8s\x00\x0a\x7f", b"k8s\x00\x0a\x00"])
def test_what_is_no_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(ProtobufFault):
        decode_protobuf(body)
    pods = SCHEME.by_resource("", "v1", "pods")
    assert pods is not None
    with pytest.raises(BadRequest):
        decode(pods, body, PROTOBUF)
