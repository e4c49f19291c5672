"""Objects over HTTP: what a write does, and what it must not do."""

import base64
import itertools
from typing import Any

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import Answer, Caller, ServerThread

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
APPS = "/apis/apps/v1/namespaces"
numbers = itertools.count()


@pytest.fixture
def namespace(admin: Caller) -> str:
    name = f"objects-{next(numbers)}"
    assert admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
    return name


@pytest.fixture
def core(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}"


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


def made(answer: Answer, code: int = 201) -> Any:
    assert answer.code == code, answer.body
    return answer.json


def test_the_server_sets_the_metadata_that_is_its_own(admin: Caller, core: str) -> None:
    sent = configmap("a")
    sent["metadata"] |= {"uid": "mine", "generation": 7, "creationTimestamp": "2001-01-01T00:00:00Z"}
    got = made(admin.post(f"{core}/configmaps", sent))["metadata"]
    assert len(got["uid"]) == 36 and got["creationTimestamp"] > "2020" and "generation" not in got
    assert got["resourceVersion"].isdecimal() and got["namespace"] in core


def test_a_generated_name_keeps_its_prefix(admin: Caller, core: str) -> None:
    names = {
        made(admin.post(f"{core}/configmaps", {"metadata": {"generateName": "x-"}}))["metadata"]["name"]
        for _ in range(3)
    }
    assert len(names) == 3 and all(name.startswith("x-") and len(name) == 7 for name in names)


def test_a_body_without_a_content_type_is_json_and_yaml_is_understood(admin: Caller, core: str) -> None:
    assert admin.call("POST", f"{core}/configmaps", configmap("a")).code == 201
    body = "metadata:\n  name: b\ndata:\n  k: v\n"
    yaml = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    answer = admin.call("POST", f"{core}/configmaps", body, headers=yaml)
    assert answer.code == 201 and b"\nkind: ConfigMap\n" in answer.body


def test_a_write_that_changes_nothing_keeps_the_version(admin: Caller, core: str) -> None:
    first = made(admin.post(f"{core}/configmaps", configmap("a", k="v")))
    assert made(admin.put(f"{core}/configmaps/a", first), 200) == first
    assert made(admin.patch(f"{core}/configmaps/a", {"data": {"k": "v"}}), 200) == first
    changed = made(admin.patch(f"{core}/configmaps/a", {"data": {"k": "w"}}), 200)
    assert int(changed["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert admin.put(f"{core}/configmaps/a", first).json["reason"] == "Conflict"


def test_a_dry_run_answers_as_if_and_stores_nothing(admin: Caller, core: str) -> None:
    tried = made(admin.post(f"{core}/configmaps?dryRun=All", configmap("a")))
    assert "resourceVersion" not in tried["metadata"] and tried["metadata"]["uid"]
    assert admin.get(f"{core}/configmaps/a").code == 404
    first = made(admin.post(f"{core}/configmaps", configmap("a")))
    assert made(admin.patch(f"{core}/configmaps/a?dryRun=All", {"data": {"x": "y"}}), 200)["data"] == {"x": "y"}
    assert admin.delete(f"{core}/configmaps/a?dryRun=All").code == 200
    assert admin.get(f"{core}/configmaps/a").json == first


def test_unknown_fields_warn_unless_told_otherwise(admin: Caller, core: str) -> None:
    body = {**configmap("a"), "bogus": 1}
    answer = admin.post(f"{core}/configmaps", body)
    assert answer.code == 201 and answer.headers["warning"] == '299 - "unknown field \\"bogus\\""'
    assert "bogus" not in answer.json
    body["metadata"] = {"name": "b"}
    assert "warning" not in admin.post(f"{core}/configmaps?fieldValidation=Ignore", body).headers
    body["metadata"] = {"name": "c"}
    assert admin.post(f"{core}/configmaps?fieldValidation=Strict", body).code == 400
    assert admin.get(f"{core}/configmaps/c").code == 404


def test_status_and_spec_do_not_touch_each_other(admin: Caller, core: str) -> None:
    path = f"{core}/pods/p"
    created = made(admin.post(f"{core}/pods", {**pod("p"), "status": {"phase": "Running"}}))
    assert created["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    after = made(admin.patch(path, {"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}}), 200)
    assert after["status"]["phase"] == "Pending" and after["metadata"]["labels"] == {"x": "y"}
    patch = {"status": {"phase": "Running"}, "spec": {"nodeName": "stolen"}}
    after = made(admin.patch(f"{path}/status", patch, "strategic-merge-patch+json"), 200)
    assert after["status"]["phase"] == "Running" and "nodeName" not in after["spec"]
    assert after["metadata"]["generation"] == 1


def test_the_generation_counts_changes_of_the_spec_only(admin: Caller, namespace: str) -> None:
    path = f"{APPS}/{namespace}/deployments"
    assert made(admin.post(path, deployment("d")))["metadata"]["generation"] == 1
    admin.patch(f"{path}/d", {"metadata": {"labels": {"x": "y"}}})
    admin.patch(f"{path}/d/status", {"status": {"replicas": 1}})
    assert made(admin.patch(f"{path}/d", {"spec": {"replicas": 2}}), 200)["metadata"]["generation"] == 2


def test_scale_speaks_scale_and_checks_the_version(admin: Caller, namespace: str) -> None:
    path = f"{APPS}/{namespace}/deployments"
    made(admin.post(path, deployment("d")))
    scale = made(admin.get(f"{path}/d/scale"), 200)
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "a=b")
    scale["spec"]["replicas"] = 3
    assert made(admin.call("PUT", f"{path}/d/scale", scale), 200)["spec"]["replicas"] == 3
    assert admin.put(f"{path}/d/scale", scale).json["reason"] == "Conflict"
    assert made(admin.patch(f"{path}/d/scale", {"spec": {"replicas": 5}}), 200)["spec"]["replicas"] == 5
    stored = made(admin.get(f"{path}/d"), 200)
    assert stored["spec"]["replicas"] == 5 and stored["metadata"]["generation"] == 3
    assert admin.patch(f"{path}/d/scale", {"spec": {"replicas": -1}}).code == 422


def test_a_pod_is_bound_once(admin: Caller, core: str) -> None:
    made(admin.post(f"{core}/pods", pod("p")))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert made(admin.post(f"{core}/pods/p/binding", binding))["status"] == "Success"
    bound = made(admin.get(f"{core}/pods/p"), 200)
    assert bound["spec"]["nodeName"] == "n1"
    assert [(c["type"], c["status"]) for c in bound["status"]["conditions"]] == [("PodScheduled", "True")]
    again = admin.post(f"{core}/pods/p/binding", binding)
    assert again.code == 409
    assert again.json["message"] == (
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    )
    assert admin.post(f"{core}/bindings", {**binding, "metadata": {"name": "nobody"}}).code == 404


def test_a_running_pod_gets_its_grace_and_a_second_delete_may_only_shorten_it(admin: Caller, core: str) -> None:
    made(admin.post(f"{core}/pods", pod("p", nodeName="n1")))
    marked = made(admin.delete(f"{core}/pods/p"), 200)["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30 and marked["generation"] == 2
    again = made(admin.delete(f"{core}/pods/p", {"gracePeriodSeconds": 60}), 200)["metadata"]
    assert again["resourceVersion"] == marked["resourceVersion"]
    shorter = made(admin.delete(f"{core}/pods/p", {"gracePeriodSeconds": 5}), 200)["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5 and shorter["deletionTimestamp"] < marked["deletionTimestamp"]
    wrong = {"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}
    assert admin.delete(f"{core}/pods/p", wrong).json["reason"] == "Conflict"
    final = {"gracePeriodSeconds": 0, "preconditions": {"uid": marked["uid"]}}
    assert made(admin.delete(f"{core}/pods/p", final), 200)["metadata"]["name"] == "p"
    assert admin.get(f"{core}/pods/p").code == 404


def test_an_object_goes_when_its_last_finalizer_does(admin: Caller, core: str) -> None:
    made(admin.post(f"{core}/configmaps", {"metadata": {"name": "a", "finalizers": ["x/y"]}}))
    assert made(admin.delete(f"{core}/configmaps/a"), 200)["metadata"]["deletionGracePeriodSeconds"] == 0
    assert admin.get(f"{core}/configmaps/a").code == 200
    made(admin.patch(f"{core}/configmaps/a", {"metadata": {"finalizers": None}}), 200)
    assert admin.get(f"{core}/configmaps/a").code == 404


def test_the_propagation_policy_becomes_a_finalizer(admin: Caller, namespace: str) -> None:
    path = f"{APPS}/{namespace}/deployments"
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        made(admin.post(path, deployment("d")))
        marked = made(admin.delete(f"{path}/d", {"propagationPolicy": policy}), 200)
        assert marked["metadata"]["finalizers"] == [finalizer]
        made(admin.patch(f"{path}/d", {"metadata": {"finalizers": []}}), 200)
    made(admin.post(path, deployment("d")))
    gone = made(admin.delete(f"{path}/d", {"propagationPolicy": "Background"}), 200)
    assert (gone["kind"], gone["status"], gone["details"]["kind"]) == ("Status", "Success", "deployments")


def test_eviction_deletes_the_pod(admin: Caller, core: str) -> None:
    made(admin.post(f"{core}/pods", pod("p")))
    body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert admin.post(f"{core}/pods/p/eviction", body).code == 201
    assert admin.get(f"{core}/pods/p").code == 404


def test_a_collection_is_deleted_by_selector(admin: Caller, core: str) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        made(admin.post(f"{core}/configmaps", {"metadata": {"name": name, "labels": {"l": label}}}))
    deleted = made(admin.delete(f"{core}/configmaps?labelSelector=l%3Dx"), 200)
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in admin.get(f"{core}/configmaps").json["items"]] == ["c"]


def test_a_namespace_terminates_until_it_is_finalized(admin: Caller, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    created = made(admin.get(path), 200)
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}
    assert created["spec"] == {"finalizers": ["kubernetes"]} and created["status"] == {"phase": "Active"}
    marked = made(admin.delete(path), 200)
    assert marked["status"]["phase"] == "Terminating"
    refused = admin.post(f"{path}/configmaps", configmap("a"))
    assert refused.code == 403
    assert refused.json["message"] == (
        f'configmaps "a" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    assert refused.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    marked["spec"]["finalizers"] = []
    assert admin.put(f"{path}/finalize", marked).code == 200
    assert admin.get(path).code == 404
    assert admin.delete("/api/v1/namespaces/default").code == 403


def test_pages_of_a_list_show_one_revision(admin: Caller, core: str) -> None:
    for name in "abcde":
        made(admin.post(f"{core}/configmaps", configmap(name)))
    first = made(admin.get(f"{core}/configmaps?limit=2"), 200)
    assert first["metadata"]["remainingItemCount"] == 3
    admin.delete(f"{core}/configmaps/d")
    made(admin.post(f"{core}/configmaps", configmap("cc")))
    names = [item["metadata"]["name"] for item in first["items"]]
    token, pages = first["metadata"]["continue"], 1
    while token:
        page = made(admin.get(f"{core}/configmaps?limit=2&continue={token}"), 200)
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token, pages = page["metadata"].get("continue", ""), pages + 1
    assert names == list("abcde") and pages == 3
    then = first["metadata"]["resourceVersion"]
    exact = made(admin.get(f"{core}/configmaps?resourceVersion={then}&resourceVersionMatch=Exact"), 200)
    assert [item["metadata"]["name"] for item in exact["items"]] == list("abcde")


def test_tables_and_metadata_lists(admin: Caller, core: str) -> None:
    made(admin.post(f"{core}/configmaps", configmap("a", k="v")))
    made(admin.post(f"{core}/configmaps", configmap("b")))
    table = made(admin.get(f"{core}/configmaps?limit=1", TABLE), 200)
    assert table["kind"] == "Table" and table["metadata"]["continue"] and table["metadata"]["remainingItemCount"] == 1
    assert [str(cell) for cell in table["rows"][0]["cells"][:2]] == ["a", "1"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    full = made(admin.get(f"{core}/configmaps/a?includeObject=Object", TABLE), 200)
    assert full["rows"][0]["object"]["data"] == {"k": "v"}
    assert "object" not in made(admin.get(f"{core}/configmaps/a?includeObject=None", TABLE), 200)["rows"][0]
    partial = made(admin.get(f"{core}/configmaps", PARTIAL_LIST), 200)
    assert partial["kind"] == "PartialObjectMetadataList"
    assert [set(item) for item in partial["items"]] == [{"kind", "apiVersion", "metadata"}] * 2


def test_field_selectors(admin: Caller, core: str) -> None:
    for name, node in (("a", "n1"), ("b", "n2")):
        made(admin.post(f"{core}/pods", pod(name, nodeName=node)))
    for selector, names in (
        ("spec.nodeName%3Dn1", ["a"]),
        ("spec.nodeName!%3Dn1", ["b"]),
        ("metadata.name%3Db,status.phase%3DPending", ["b"]),
        ("status.phase!%3DPending", []),
    ):
        items = made(admin.get(f"{core}/pods?fieldSelector={selector}"), 200)["items"]
        assert [item["metadata"]["name"] for item in items] == names


def test_an_older_epoch_is_fenced_off(admin: Caller, core: str) -> None:
    def write(name: str, epoch: int) -> Answer:
        headers = {"Content-Type": "application/json", "Timonier-Fence": f"test-role={epoch}"}
        return admin.call("POST", f"{core}/configmaps", configmap(name), headers=headers)

    assert write("a", 5).code == 201
    refused = write("b", 4)
    assert refused.code == 409 and refused.json["details"]["causes"][0]["reason"] == "Fenced"
    assert admin.get(f"{core}/configmaps/b").code == 404
    assert write("c", 6).code == 201


def test_nobody_raises_the_epoch_of_a_role_that_is_not_theirs(
    server: ServerThread, authority: TestAuthority, core: str
) -> None:
    def write_as(user: str, *groups: str) -> int:
        caller = Caller(server.config.port, authority, authority.issue(user, groups))
        headers = {"Content-Type": "application/json", "Timonier-Fence": "kube-scheduler=3"}
        name = f"by-{user.rsplit(':', 1)[1]}"
        return caller.call("POST", f"{core}/configmaps", configmap(name), headers=headers).code

    assert write_as("system:node:n1", "system:nodes") == 403
    assert write_as("system:kube-controller-manager") == 403
    assert write_as("system:kube-scheduler") == 201


def test_a_service_gets_its_addresses_and_lets_go_of_them(admin: Caller, core: str) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}], "clusterIP": "10.0.3.4"}
    service = made(admin.post(f"{core}/services", {"metadata": {"name": "s"}, "spec": spec}))
    assert service["spec"]["clusterIPs"] == ["10.0.3.4"] and service["spec"]["ports"][0]["nodePort"] == 30123
    other = {"metadata": {"name": "t"}, "spec": {**spec, "clusterIP": ""}}
    assert "provided port is already allocated" in admin.post(f"{core}/services", other).json["message"]
    del service["spec"]["clusterIP"], service["spec"]["clusterIPs"], service["spec"]["ports"][0]["nodePort"]
    kept = made(admin.put(f"{core}/services/s", service), 200)["spec"]
    assert kept["clusterIP"] == "10.0.3.4" and kept["ports"][0]["nodePort"] == 30123
    plain = made(admin.patch(f"{core}/services/s", {"spec": {"type": "ClusterIP"}}), 200)["spec"]
    assert "nodePort" not in plain["ports"][0]
    assert made(admin.post(f"{core}/services", other))["spec"]["ports"][0]["nodePort"] == 30123
    assert admin.delete(f"{core}/services/s").code == 200
    again = {"metadata": {"name": "u"}, "spec": {"ports": [{"port": 1}], "clusterIP": "10.0.3.4"}}
    made(admin.post(f"{core}/services", again))


def test_a_body_above_the_limit_is_refused(admin: Caller, core: str) -> None:
    body = {"metadata": {"name": "a"}, "data": {"x": "y" * (3 * 1024 * 1024)}}
    answer = admin.post(f"{core}/configmaps", body)
    assert answer.code == 413 and answer.json["reason"] == "RequestEntityTooLarge"


def test_protobuf_bodies_are_read(admin: Caller, core: str) -> None:
    """A ConfigMap as kubectl 1.32 sends it, and DeleteOptions."""
    created = base64.b64decode("azhzAAoPCgJ2MRIJQ29uZmlnTWFwEhEKBwoBYRIAGgASBgoBaxIBdg==")
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    answer = admin.call("POST", f"{core}/configmaps", created, headers=headers)
    assert made(answer)["data"] == {"k": "v"}
    options = b"k8s\x00\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x0c\x22\x0aBackground"
    assert admin.call("DELETE", f"{core}/configmaps/a", options, headers=headers).code == 200


def test_a_manifest_without_what_admission_filled_in_changes_nothing(admin: Caller, core: str) -> None:
    created = made(admin.post(f"{core}/pods", pod("p", tolerations=[{"key": "mine", "operator": "Exists"}])))
    assert created["metadata"]["generation"] == 1 and len(created["spec"]["tolerations"]) == 3
    again = made(admin.get(f"{core}/pods/p"), 200)
    again["spec"]["tolerations"] = again["spec"]["tolerations"][:1]
    del again["spec"]["priority"], again["spec"]["preemptionPolicy"]
    assert made(admin.put(f"{core}/pods/p", again), 200) == created
    again["spec"]["priority"] = 7
    assert admin.put(f"{core}/pods/p", again).code == 422


def test_a_replaced_namespace_keeps_its_label_and_finalizers(admin: Caller, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    created = made(admin.get(path), 200)
    replaced = made(admin.put(path, {"metadata": {"name": namespace, "labels": {"x": "y"}}, "spec": {}}), 200)
    assert replaced["metadata"]["labels"] == {"x": "y", "kubernetes.io/metadata.name": namespace}
    assert replaced["spec"] == created["spec"] and replaced["status"] == {"phase": "Active"}


def test_the_row_of_a_finished_pod_says_so(admin: Caller, core: str) -> None:
    made(admin.post(f"{core}/pods", pod("p")))
    assert "conditions" not in made(admin.get(f"{core}/pods", TABLE), 200)["rows"][0]
    made(admin.patch(f"{core}/pods/p/status", {"status": {"phase": "Succeeded"}}), 200)
    table = made(admin.get(f"{core}/pods", TABLE), 200)
    assert table["columnDefinitions"][0]["name"] == "Name"
    (condition,) = table["rows"][0]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Completed", "Succeeded")
