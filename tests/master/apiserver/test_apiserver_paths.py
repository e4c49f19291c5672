"""Paths that are no resources keep their habits behind Starlette: slashes, methods, refusals, headers."""

import pytest
from apiserver_harness import Caller

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("path", ["/version", "/version/", "//version", "/version//", "/%76ersion"])
def test_a_path_has_one_meaning_however_it_is_spelled(anonymous: Caller, path: str) -> None:
    answer = anonymous.get(path)
    assert answer.code == 200 and answer.json["gitVersion"]


@pytest.mark.parametrize(
    "path", ["/livez%2Fping", "/livez/nothing", "/apis/nobody/v1", "/api/v9", "/openapi/v3x", "/nowhere"]
)
def test_unknown_paths_are_answered_like_gos_mux(admin: Caller, path: str) -> None:
    answer = admin.get(path)
    assert (answer.code, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8" and answer.headers["audit-id"]


@pytest.mark.parametrize("path", ["/version", "/apis", "/livez/ping"])
def test_documents_are_only_read(admin: Caller, path: str) -> None:
    answer = admin.post(path, {})
    assert answer.code == 405 and answer.json["reason"] == "MethodNotAllowed" and "allow" not in answer.headers


def test_a_group_that_is_not_served_is_not_found_by_any_method(admin: Caller) -> None:
    for path in ("/nowhere", "/apis/batch/v1/namespaces/default/jobs"):
        assert {admin.call(method, path, "{}").code for method in ("POST", "PUT", "PATCH", "DELETE")} == {404}


def test_access_is_judged_before_anything_else(anonymous: Caller) -> None:
    for path in ("/apis", "/nowhere", "/metrics", "/"):
        answer = anonymous.get(path)
        assert answer.code == 403
        assert answer.json["message"] == f'forbidden: User "system:anonymous" cannot get path "{path}"'
    assert anonymous.call("GET", "/version", headers={"Authorization": "Bearer x"}).code == 401


def test_the_root_lists_what_there_is(admin: Caller) -> None:
    paths = admin.get("/").json["paths"]
    assert {"/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/livez", "/openapi/v2", "/version"} <= set(
        paths
    )


def test_documents_may_be_cached_and_everything_else_not(admin: Caller) -> None:
    document = admin.get("/openapi/v3").json["paths"]["apis/apps/v1"]["serverRelativeURL"]
    assert admin.get(document).headers["cache-control"] == "public, immutable"
    assert admin.get("/version").headers["cache-control"] == "no-cache, private"


def test_a_websocket_that_leads_nowhere_gets_an_ordinary_answer(admin: Caller) -> None:
    assert admin.call("GET", "/nowhere", headers=UPGRADE).code == 404
    refused = admin.call("GET", "/api/v1/namespaces/nobody", headers=UPGRADE)
    assert refused.code == 404 and refused.json["message"] == 'namespaces "nobody" not found'
