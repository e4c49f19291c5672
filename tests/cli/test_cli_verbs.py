"""The verbs as a user types them, against a real API server."""

import json
import os
import signal
import threading
from typing import Any

import pytest
import yaml
from cli_harness import Command, config_map, deployment


def test_apply_creates_changes_only_what_changed_and_is_repeatable(timonier: Command) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments/apply-me"
    file = timonier.write("apply.yaml", deployment("apply-me", A="1", B="2"))
    assert timonier.ok("apply", "-f", file) == "deployment.apps/apply-me created\n"
    assert timonier.ok("apply", "-f", file) == "deployment.apps/apply-me unchanged\n"
    timonier.ok("scale", "deployment/apply-me", "--replicas=7")
    timonier.ok("annotate", "deployment", "apply-me", "by=somebody")
    wanted = deployment("apply-me", image="img:2", B="3")
    del wanted["spec"]["replicas"]
    timonier.write("apply.yaml", wanted)
    assert timonier.ok("apply", "-f", file) == "deployment.apps/apply-me configured\n"
    live = timonier.tree(path)
    container = live["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "img:2"
    assert container["env"] == [{"name": "B", "value": "3"}]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert live["metadata"]["annotations"]["by"] == "somebody"
    assert live["spec"].get("replicas") == 1  # said before and no more: removed, and the default takes its place
    assert timonier.ok("apply", "-f", "-", stdin=yaml.safe_dump(wanted)) == "deployment.apps/apply-me unchanged\n"


def test_get_prints_tables_objects_names_and_paths(timonier: Command) -> None:
    file = timonier.write("get.yaml", config_map("get-a", size="1"), config_map("get-b", size="2"))
    timonier.ok("create", "-f", file)
    timonier.ok("label", "cm", "get-a", "get-b", "set=get")
    table = timonier.ok("get", "cm", "-l", "set=get").splitlines()
    assert table[0].split() == ["NAME", "DATA", "AGE"]
    assert [line.split()[0] for line in table[1:]] == ["get-a", "get-b"]
    assert timonier.ok("get", "cm", "-l", "set=get", "-o", "name") == "configmap/get-a\nconfigmap/get-b\n"
    listed = json.loads(timonier.ok("get", "configmaps", "-l", "set=get", "-o", "json"))
    assert [item["data"]["size"] for item in listed["items"]] == ["1", "2"]
    one = yaml.safe_load(timonier.ok("get", "cm/get-b", "-o", "yaml"))
    assert (one["kind"], one["data"]) == ("ConfigMap", {"size": "2"})
    expression = "jsonpath={range .items[*]}{.metadata.name}={.data.size};{end}"
    assert timonier.ok("get", "cm", "-l", "set=get", "-o", expression) == "get-a=1;get-b=2;"
    everywhere = timonier.ok("get", "cm", "-A", "--field-selector", "metadata.name=get-a", "--no-headers")
    assert everywhere.split()[:2] == ["default", "get-a"]
    assert timonier.run("get", "cm", "-l", "set=none").err == "No resources found in default namespace.\n"
    several = timonier.ok("get", "cm/get-a", "ns/default")
    assert "configmap/get-a" in several and "namespace/default" in several


def test_get_watch_shows_changes_as_they_happen(timonier: Command) -> None:
    timonier.ok("create", "-f", timonier.write("watch.yaml", config_map("watched", a="1")))
    process = timonier.start("get", "cm", "watched", "-w", "--show-labels")
    guard = threading.Timer(20, process.kill)
    guard.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("NAME")
        assert "<none>" in process.stdout.readline()
        timonier.ok("label", "cm", "watched", "seen=yes")
        assert "seen=yes" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    finally:
        guard.cancel()
        process.kill()


def test_errors_are_told_as_by_kubectl_and_nothing_changes(timonier: Command) -> None:
    missing = timonier.run("get", "pod", "nosuch")
    assert (missing.code, missing.err) == (1, 'Error from server (NotFound): pods "nosuch" not found\n')
    unknown = timonier.run("get", "nosuch")
    assert (unknown.code, unknown.err) == (1, 'error: the server doesn\'t have a resource type "nosuch"\n')
    file = timonier.write("twice.yaml", config_map("twice"))
    timonier.ok("create", "-f", file)
    again = timonier.run("create", "-f", file)
    expected = f'Error from server (AlreadyExists): error when creating "{file}": configmaps "twice" already exists\n'
    assert (again.code, again.err) == (1, expected)
    bad = deployment("Bad_Name")
    invalid = timonier.run("apply", "-f", timonier.write("bad.yaml", bad))
    assert invalid.code == 1
    assert invalid.err.startswith('The Deployment "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name"')
    extra = {**config_map("extra"), "nonsense": 1}
    strict = timonier.run("create", "-f", timonier.write("extra.yaml", extra))
    assert strict.code == 1 and 'unknown field "nonsense"' in strict.err
    assert timonier.run("get", "cm", "extra").code == 1
    kind = timonier.run("apply", "-f", timonier.write("kind.yaml", {**config_map("x"), "kind": "Foo"}))
    assert kind.code == 1 and 'no matches for kind "Foo" in version "v1"' in kind.err
    assert (
        timonier.run("apply", "-f", "/nonexistent.yaml").err == 'error: the path "/nonexistent.yaml" does not exist\n'
    )


@pytest.mark.parametrize("arguments", [["get"], ["nosuchverb"], ["scale", "deployment/x"], ["get", "pods", "--nosuch"]])
def test_wrong_usage_ends_with_2(timonier: Command, arguments: list[str]) -> None:
    assert timonier.run(*arguments).code == 2


def test_every_verb_explains_itself(timonier: Command) -> None:
    verbs = ["get", "describe", "apply", "create", "delete", "scale", "logs", "exec", "label", "annotate", "cordon"]
    for words in [*([verb] for verb in verbs), ["rollout", "status"], ["rollout", "undo"]]:
        assert "Usage" in timonier.ok(*words, "--help")


def test_delete_waits_until_a_finalizer_lets_go(timonier: Command) -> None:
    guarded = config_map("guarded")
    guarded["metadata"]["finalizers"] = ["example.com/guard"]
    timonier.ok("create", "-f", timonier.write("guarded.yaml", guarded))
    process = timonier.start("delete", "cm", "guarded")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == 'configmap "guarded" deleted\n'
        assert process.poll() is None
        timonier.api.patch("/api/v1/namespaces/default/configmaps/guarded", {"metadata": {"finalizers": None}})
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
    assert timonier.run("get", "cm", "guarded").code == 1
    assert timonier.run("delete", "cm", "guarded").code == 1
    timonier.ok("delete", "cm", "guarded", "--ignore-not-found")


def test_delete_by_selector_and_by_manifest(timonier: Command) -> None:
    maps = [config_map(f"gone-{number}") for number in range(3)]
    file = timonier.write("gone.yaml", *maps)
    timonier.ok("create", "-f", file)
    timonier.ok("label", "cm", "gone-0", "gone-1", "go=now")
    assert timonier.ok("delete", "cm", "-l", "go=now").count("deleted") == 2
    last = timonier.run("delete", "-f", file)
    assert last.code == 1 and 'configmap "gone-2" deleted' in last.out and last.err.count("NotFound") == 2
    assert timonier.run("delete", "cm").code == 1


def test_labels_are_set_changed_only_on_demand_and_removed(timonier: Command) -> None:
    timonier.ok("create", "-f", timonier.write("labels.yaml", config_map("labels")))
    assert timonier.ok("label", "cm", "labels", "a=1", "b=2") == "configmap/labels labeled\n"
    refused = timonier.run("label", "cm", "labels", "a=2")
    assert (refused.code, refused.err) == (1, "error: 'a' already has a value (1), and --overwrite is false\n")
    timonier.ok("label", "cm", "labels", "a=2", "--overwrite")
    assert timonier.ok("label", "cm", "labels", "b-") == "configmap/labels unlabeled\n"
    assert timonier.ok("label", "cm", "labels", "a=2") == "configmap/labels not labeled\n"
    assert timonier.tree("/api/v1/namespaces/default/configmaps/labels")["metadata"]["labels"] == {"a": "2"}


def test_namespaces_by_option_before_and_after_the_verb(timonier: Command) -> None:
    file = timonier.write("ns.yaml", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    timonier.ok("create", "-f", file)
    inside = timonier.write("inside.yaml", config_map("inside", namespace="other"))
    timonier.ok("apply", "-f", inside)
    assert "inside" in timonier.ok("get", "cm", "-n", "other")
    assert "inside" in timonier.ok("-n", "other", "get", "cm")
    wrong = timonier.run("apply", "-f", inside, "-n", "default")
    assert wrong.code == 1 and "does not match the namespace" in wrong.err


def node(name: str, port: int = 0) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": {"cpu": "2", "memory": "4Gi", "pods": "10"}},
    }


def test_cordon_and_describe_a_node(timonier: Command) -> None:
    timonier.ok("create", "-f", timonier.write("node.yaml", node("n1")))
    assert timonier.ok("cordon", "n1") == "node/n1 cordoned\n"
    assert timonier.ok("cordon", "n1") == "node/n1 already cordoned\n"
    described = timonier.ok("describe", "node", "n1")
    assert "Unschedulable:    true" in described
    assert timonier.ok("uncordon", "n1") == "node/n1 uncordoned\n"


def test_describe_shows_an_object_what_belongs_to_it_and_its_events(timonier: Command) -> None:
    timonier.ok("create", "-f", timonier.write("describe.yaml", deployment("described", A="1")))
    event = {
        "metadata": {"name": "described.1", "namespace": "default"},
        "involvedObject": {"kind": "Deployment", "name": "described", "namespace": "default"},
        "reason": "ScalingReplicaSet",
        "message": "Scaled up",
        "type": "Normal",
        "count": 2,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:01:00Z",
        "source": {"component": "deployment-controller"},
    }
    assert timonier.api.post("/api/v1/namespaces/default/events", event).code == 201
    text = timonier.ok("describe", "deployment", "described")
    assert "3 desired" in text and "img:1" in text and "A=1" in text
    assert "ScalingReplicaSet" in text and "Scaled up" in text
    assert "described" in timonier.ok("describe", "deploy", "descr")  # the beginning of a name is enough
    assert "ScalingReplicaSet" in timonier.ok("events", "--for", "deployment/described")
    listed = json.loads(timonier.ok("events", "-o", "json"))
    assert any(each["reason"] == "ScalingReplicaSet" for each in listed["items"])
    timonier.ok(
        "create",
        "-f",
        timonier.write(
            "secret.yaml",
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "hidden"},
                "stringData": {"password": "canary"},
            },
        ),
    )
    secret = timonier.ok("describe", "secret", "hidden")
    assert "password" in secret and "Y2FuYXJ5" not in secret and "canary" not in secret


def test_rollout_is_followed_and_undone(timonier: Command) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments/rolling"
    timonier.ok("create", "-f", timonier.write("rolling.yaml", deployment("rolling", image="img:2")))
    live = timonier.tree(path)
    for number in (1, 2):
        create_replica_set(timonier, live, number)
    process = timonier.start("rollout", "status", "deployment/rolling")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "Waiting for deployment spec update to be observed...\n"
        status = {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 1}
        timonier.api.patch(f"{path}/status", {"status": status})
        assert "1 of 3 updated replicas are available..." in process.stdout.readline()
        timonier.api.patch(f"{path}/status", {"status": {"availableReplicas": 3}})
        assert process.stdout.readline() == 'deployment "rolling" successfully rolled out\n'
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
    history = timonier.ok("rollout", "history", "deployment/rolling").splitlines()
    assert [line.split()[0] for line in history[1:]] == ["REVISION", "1", "2"]
    assert timonier.ok("rollout", "undo", "deployment/rolling") == "deployment.apps/rolling rolled back\n"
    template = timonier.tree(path)["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "img:1"
    assert template["metadata"]["labels"] == {"app": "rolling"}
    timonier.ok("rollout", "restart", "deployment/rolling")
    assert timonier.ok("rollout", "pause", "deployment/rolling") == "deployment.apps/rolling paused\n"
    assert timonier.run("rollout", "pause", "deployment/rolling").code == 1
    assert timonier.run("rollout", "undo", "deployment/rolling").code == 1
    assert timonier.ok("rollout", "resume", "deployment/rolling") == "deployment.apps/rolling resumed\n"
    late = timonier.run("rollout", "status", "deployment/rolling", "--timeout", "0.2")
    assert late.code == 1 and "timed out" in late.err


def create_replica_set(timonier: Command, owner: dict[str, Any], number: int) -> None:
    """As the controller would make it for an earlier or the present revision."""
    labels = {"app": "rolling", "pod-template-hash": f"h{number}"}
    meta = {
        "name": f"rolling-{number}",
        "labels": labels,
        "annotations": {"deployment.kubernetes.io/revision": str(number)},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "rolling",
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    container = {"name": "c", "image": f"img:{number}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec}
    assert timonier.api.post("/apis/apps/v1/namespaces/default/replicasets", body).code == 201


def test_output_into_a_closed_pipe_is_no_crash(timonier: Command) -> None:
    process = timonier.start("get", "ns", "-o", "json")
    assert process.stdout is not None and process.stderr is not None
    os.close(os.dup(process.stdout.fileno()))
    process.stdout.close()
    process.wait(timeout=20)
    assert "Traceback" not in process.stderr.read()
