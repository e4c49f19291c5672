"""Patch bodies of careless and of hostile clients."""

import json
from typing import Any

import pytest
from apiserver_harness import Answer, Caller

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
KINDS = ("merge-patch+json", "strategic-merge-patch+json", "json-patch+json")


@pytest.fixture(scope="module")
def target(admin: Caller) -> str:
    assert admin.post(CONFIGMAPS, {"metadata": {"name": "patched"}, "data": {"k": "v"}}).code == 201
    return f"{CONFIGMAPS}/patched"


@pytest.fixture(scope="module")
def deployment(admin: Caller) -> str:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    assert admin.post(DEPLOYMENTS, {"metadata": {"name": "patched"}, "spec": spec}).code == 201
    return f"{DEPLOYMENTS}/patched"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "unexpected end of JSON input"),
        ('{"data": {', "unexpected end of JSON input"),
        ("{'data': 1}", "invalid character '\\'' looking for beginning of object key string"),
        ('{"a": NaN}', "invalid character 'N' looking for beginning of value"),
        ('{"data": ' * 101 + "1" + "}" * 101, "exceeded max depth"),
        ("[" * 100_000, "exceeded max depth"),
    ],
    ids=["empty", "cut off", "quotes", "nan", "deep", "very deep"],
)
def test_a_body_that_is_no_json_is_refused_in_gos_words(
    admin: Caller, target: str, kind: str, body: str, why: str
) -> None:
    answer = admin.patch(target, body, kind)
    assert answer.code == 400
    assert answer.json["message"] == f"error decoding patch: {why}"


def twice(admin: Caller, target: str, validation: str) -> Answer:
    body = '{"data": {"k": "1", "k": "2"}}'
    return admin.patch(f"{target}?dryRun=All&fieldValidation={validation}", body)


def test_a_key_that_stands_twice_warns_or_is_refused_as_asked(admin: Caller, target: str) -> None:
    warned = twice(admin, target, "Warn")
    assert warned.code == 200 and warned.json["data"] == {"k": "2"}
    assert warned.headers["warning"] == '299 - "duplicate field \\"data.k\\""'
    assert "warning" not in twice(admin, target, "Ignore").headers
    refused = twice(admin, target, "Strict")
    assert refused.code == 422
    assert 'strict decoding error: duplicate field "data.k"' in refused.json["message"]


def test_a_scale_is_patched_under_the_same_rules(admin: Caller, deployment: str) -> None:
    body = '{"spec": {"replicas": 2, "replicas": 3}}'
    assert admin.patch(f"{deployment}/scale?fieldValidation=Strict", body).code == 422
    unknown = admin.patch(f"{deployment}/scale", {"spec": {"replica": 2}})
    assert unknown.headers["warning"] == '299 - "unknown field \\"spec.replica\\""'
    assert admin.patch(f"{deployment}/scale", "[1", "json-patch+json").code == 400


def operations(*steps: Any) -> str:
    return json.dumps([dict(zip(("op", "path", "from"), step, strict=False)) for step in steps])


def test_copies_of_copies_come_to_an_end(admin: Caller, target: str) -> None:
    doubling = operations(*(("copy", f"/data/x{number}", "") for number in range(40)))
    answer = admin.patch(target, doubling, "json-patch+json")
    assert answer.code == 422
    assert answer.json["message"] == "the server rejected our request due to an error in our request"


def test_operations_cannot_nest_without_end(admin: Caller, target: str) -> None:
    steps: list[dict[str, Any]] = [{"op": "add", "path": "/b", "value": {}}]
    for _ in range(3000):
        steps += [{"op": "add", "path": "/a", "value": {}}, {"op": "move", "from": "/b", "path": "/a/b"}]
        steps += [{"op": "move", "from": "/a", "path": "/b"}]
    answer = admin.patch(target, json.dumps(steps), "json-patch+json")
    assert answer.code == 422 and admin.get(target).json["data"] == {"k": "v"}
