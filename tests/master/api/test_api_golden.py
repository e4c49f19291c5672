"""The answers of a real Kubernetes 1.36 server: what it makes of minimal objects, and how it refuses bad ones."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from master.api.decode import decode, strict_error
from master.api.meta import Status
from master.api.resource import ResourceInfo
from master.api.scheme import SCHEME
from master.api.status import ApiError, Invalid

DATA = Path(__file__).parent / "data"
DEFAULTS = json.loads((DATA / "golden_defaults.json").read_text())
ERRORS = json.loads((DATA / "golden_errors.json").read_text())


def info_of(path: str) -> ResourceInfo:
    parts = path.partition("?")[0].strip("/").split("/")
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    plural = rest[2] if rest[0] == "namespaces" and len(rest) > 1 else rest[0]
    info = SCHEME.by_resource(group, version, plural)
    assert info is not None
    return info


def created(info: ResourceInfo, body: Any) -> Any:
    """What the API server does to a body before admission."""
    text = body if isinstance(body, str) else json.dumps(body)
    decoded = decode(info, text.encode())
    obj = decoded.object
    if info.namespaced:
        obj.metadata.namespace = "default"
    info.default(obj)
    info.strategy.prepare_create(obj)
    return obj


def without_admission(info: ResourceInfo, tree: dict[str, Any]) -> dict[str, Any]:
    """Admission's and allocation's fields removed."""
    spec = tree.get("spec", {})
    if info.kind == "Pod":
        for name in ("tolerations", "priority", "preemptionPolicy", "serviceAccountName", "serviceAccount"):
            spec.pop(name, None)
    if info.kind == "Node":
        spec.pop("taints", None)
        if not spec:
            tree.pop("spec", None)
    if info.kind == "Service" and spec.get("clusterIP", "10.0.0.0") == "10.0.0.0":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    if tree.get("spec") == {}:
        del tree["spec"]
    return tree


@pytest.mark.parametrize("case", DEFAULTS, ids=lambda case: case["case"])
def test_defaults_equal_those_of_a_real_server(case: dict[str, Any]) -> None:
    info = info_of(case["post"])
    obj = created(info, case["body"])
    assert info.validate(obj) == []
    tree = json.loads(info.encode(obj))
    assert without_admission(info, tree) == without_admission(info, case["answer"])


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case["case"])
def test_refusals_equal_those_of_a_real_server(case: dict[str, Any]) -> None:
    info = info_of(case["request"]["path"])
    body = case["request"]["body"]
    with pytest.raises(ApiError) as caught:
        if "Strict" in case["request"]["path"]:
            text = body if isinstance(body, str) else json.dumps(body)
            raise strict_error(info, decode(info, text.encode()).findings)
        obj = created(info, body)
        raise Invalid.of(info, obj.metadata.name, info.validate(obj))
    assert json.loads(msgspec.json.encode(caught.value.status)) == case["answer"]


def test_an_error_survives_the_wire() -> None:
    for case in ERRORS:
        status = msgspec.json.decode(json.dumps(case["answer"]).encode(), type=Status)
        error = ApiError.from_status(status)
        assert (error.code, error.reason) == (case["code"], case["answer"]["reason"])
        assert json.loads(msgspec.json.encode(error.status)) == case["answer"]
