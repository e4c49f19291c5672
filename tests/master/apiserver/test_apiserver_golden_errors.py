"""Bad requests get the answers that a real Kubernetes 1.36 server gave (`golden_errors.json`), word for word.

Uids, versions and byte details of Go's diffs are masked.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import Answer, Caller, ServerThread

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden_errors.json").read_text())
NAMESPACE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
OTHER_PARSER = {
    "bad continue": "the decoder of the token says differently what is wrong with it",
}


@pytest.fixture(scope="module")
def bob(server: ServerThread, authority: TestAuthority) -> Caller:
    return Caller(server.config.port, authority, authority.issue("bob"))


@pytest.fixture(scope="module")
def objects(admin: Caller) -> None:
    """What the cases speak of."""
    containers = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    deployment = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    configmaps: list[dict[str, Any]] = [
        {"metadata": {"name": "g0"}, "data": {"a": "1"}},
        {"metadata": {"name": "gi"}, "data": {"a": "b"}, "immutable": True},
        {"metadata": {"name": "g2", "finalizers": ["x/y"]}},
    ]
    for configmap in configmaps:
        assert admin.post(f"{NAMESPACE}/configmaps", configmap).code == 201
    assert admin.delete(f"{NAMESPACE}/configmaps/g2").code == 200
    assert admin.post(f"{NAMESPACE}/pods", {"metadata": {"name": "gp"}, "spec": {"containers": containers}}).code == 201
    assert admin.post(f"{APPS}/deployments", {"metadata": {"name": "gd"}, "spec": deployment}).code == 201
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    assert admin.post(leases, {"metadata": {"name": "kube-controller-manager"}, "spec": {}}).code == 201


def masked(text: str) -> str:
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<uid>", text)
    text = re.sub(r"current: \d+", "current: <rv>", text)
    return re.sub(r"\n(@@|spec\.).*", "", text, flags=re.DOTALL)


def masked_tree(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: masked_tree(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_tree(item) for item in value]
    return masked(value) if isinstance(value, str) else value


def ask(case: dict[str, Any], admin: Caller, bob: Caller, anonymous: Caller) -> Answer:
    request = case["request"]
    user = request.get("user", "admin")
    headers = {"Accept": request["accept"]} if "accept" in request else {}
    if "contentType" in request:
        headers["Content-Type"] = request["contentType"]
    elif "body" in request and request["method"] != "PATCH":
        headers["Content-Type"] = "application/json"
    if user == "invalid token":
        headers["Authorization"] = "Bearer nonsense"
    caller = {"bob": bob, "anonymous": anonymous, "invalid token": anonymous}.get(user, admin)
    return caller.call(request["method"], request["path"], request.get("body"), headers=headers)


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_bad_request_is_answered_as_by_kubernetes(
    case: dict[str, Any], objects: None, admin: Caller, bob: Caller, anonymous: Caller
) -> None:
    answer = ask(case, admin, bob, anonymous)
    assert answer.code == case["code"], answer.body
    assert answer.headers["content-type"] == case["contentType"]
    if isinstance(case["answer"], str):
        assert answer.body.decode() == case["answer"]
        return
    wanted, got = masked_tree(case["answer"]), masked_tree(answer.json)
    if case["case"] in OTHER_PARSER:
        wanted["message"] = got["message"] = wanted["message"].split(":")[0]
    assert got == wanted
    if "retryAfter" in case:
        assert answer.headers["retry-after"] == case["retryAfter"]
