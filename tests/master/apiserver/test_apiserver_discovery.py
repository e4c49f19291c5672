"""Discovery, OpenAPI, version, health, metrics, and who may see them."""

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import Caller, ServerThread

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"


def test_discovery_comes_in_exactly_the_form_asked_for(admin: Caller) -> None:
    for version in ("v2", "v2beta1"):
        answer = admin.get("/apis", AGGREGATED.format(version))
        wanted = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        assert answer.headers["content-type"] == wanted
        assert answer.json["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        apps = next(item for item in answer.json["items"] if item["metadata"]["name"] == "apps")
        deployments = next(r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments")
        assert [sub["subresource"] for sub in deployments["subresources"]] == ["scale", "status"]
    assert admin.get("/apis").json["kind"] == "APIGroupList"
    assert [item["metadata"]["name"] for item in admin.get("/api", AGGREGATED.format("v2")).json["items"]] == [""]


def test_an_unchanged_discovery_document_is_not_sent_again(admin: Caller) -> None:
    first = admin.get("/apis", AGGREGATED.format("v2"))
    headers = {"Accept": AGGREGATED.format("v2"), "If-None-Match": first.headers["etag"]}
    again = admin.call("GET", "/apis", headers=headers)
    assert (again.code, again.body) == (304, b"")


def test_plain_discovery_names_subresources_with_their_own_group(admin: Caller) -> None:
    resources = {entry["name"]: entry for entry in admin.get("/api/v1").json["resources"]}
    assert resources["pods"]["shortNames"] == ["po"] and resources["pods"]["categories"] == ["all"]
    eviction = resources["pods/eviction"]
    assert (eviction["group"], eviction["version"], eviction["kind"]) == ("policy", "v1", "Eviction")
    assert "group" not in resources["pods/status"]
    assert admin.get("/apis/apps").json["preferredVersion"]["groupVersion"] == "apps/v1"


def test_openapi_tells_kubectl_what_the_server_validates(admin: Caller) -> None:
    paths = admin.get("/openapi/v3").json["paths"]
    assert {"api/v1", "apis/apps/v1"} <= set(paths)
    document = admin.get(paths["apis/apps/v1"]["serverRelativeURL"]).json
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    swagger = admin.get("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert swagger.body == b"\x0a\x03\x32\x2e\x30"
    assert swagger.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def test_trailing_slashes_are_answered_directly(admin: Caller) -> None:
    assert admin.get("/version/").json["gitVersion"].startswith("v1.36.0")
    assert admin.get("/apis/").json["kind"] == "APIGroupList"


def test_health_is_for_everybody_and_names_its_checks(anonymous: Caller) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/livez/ping"):
        answer = anonymous.get(path)
        assert (answer.code, answer.body) == (200, b"ok")
    lines = anonymous.get("/readyz?verbose&exclude=ping").body.decode().splitlines()
    assert lines[-1] == "readyz check passed" and "[+]store ok" in lines and "[+]ping ok" not in lines
    assert anonymous.call("HEAD", "/livez/ping").code == 200


def test_metrics_count_requests_under_the_known_names(admin: Caller, anonymous: Caller) -> None:
    admin.get("/api/v1/namespaces/default")
    text = admin.get("/metrics").body.decode()
    assert 'apiserver_request_total{code="200",group="",resource="namespaces"' in text
    assert "apiserver_request_duration_seconds_bucket" in text
    assert anonymous.get("/metrics").code == 403


def test_users_may_ask_about_themselves(admin: Caller, server: ServerThread, authority: TestAuthority) -> None:
    bob = Caller(server.config.port, authority, authority.issue("bob2", ("team",)))
    who = bob.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert who.code == 201
    assert who.json["status"]["userInfo"] == {"username": "bob2", "groups": ["team", "system:authenticated"]}
    question = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert [caller.post(path, question).json["status"]["allowed"] for caller in (admin, bob)] == [True, False]


@pytest.mark.parametrize("identity", ["system:kube-scheduler", "system:kube-controller-manager", "system:kube-proxy"])
def test_components_may_do_their_work(server: ServerThread, authority: TestAuthority, identity: str) -> None:
    component = Caller(server.config.port, authority, authority.issue(identity))
    assert component.get("/api/v1/pods").code == 200


def test_an_answer_carries_the_audit_id_of_its_request(admin: Caller) -> None:
    mine = admin.call("GET", "/api/v1/namespaces", headers={"Audit-Id": "mine"})
    assert mine.headers["audit-id"] == "mine" and mine.headers["cache-control"] == "no-cache, private"
    assert len(admin.get("/api/v1/namespaces").headers["audit-id"]) == 36
