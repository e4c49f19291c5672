"""Unmodified kubectl against a real cluster: what a user does on the first day."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from e2e_cluster import TIMONIER, Cluster, deployment_manifest, eventually, measured, service_manifest


@pytest.fixture(scope="module")
def web(cluster: Cluster) -> str:
    """A Deployment of three behind a Service, rolled out."""
    manifests = yaml.safe_dump_all([deployment_manifest("web", 3), service_manifest("web")])
    cluster.kubectl("apply", "-f", "-", stdin=manifests)
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=80s")
    return "web"


def test_the_sample_is_served_by_pods_on_different_nodes(cluster: Cluster) -> None:
    pods = cluster.ready_pods("app=hello")
    assert len(pods) == 3
    assert len({pod["spec"]["nodeName"] for pod in pods}) >= 2
    address = cluster.kubectl_json("get", "service", "hello")["spec"]["clusterIP"]
    names = {pod["metadata"]["name"] for pod in pods}
    for node in ("node-1", "node-2", "node-3"):
        bodies = cluster.fetch(node, f"http://{address}/", 20)
        assert set(bodies) <= names and len(set(bodies)) >= 2


def test_nodes_and_version(cluster: Cluster) -> None:
    assert re.findall(r"^(node-\d)\s+Ready", cluster.kubectl("get", "nodes"), re.M) == ["node-1", "node-2", "node-3"]
    assert "Server Version" in cluster.kubectl("version")
    assert "deployments" in cluster.kubectl("api-resources")


def test_get_prints_tables_wide_names_and_json(cluster: Cluster, web: str) -> None:
    table = cluster.kubectl("get", "pods", "-l", "app=web")
    assert table.splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert len(re.findall(r"1/1\s+Running\s+0", table)) == 3
    wide = cluster.kubectl("get", "pods", "-l", "app=web", "-o", "wide")
    assert {"IP", "NODE"} <= set(wide.splitlines()[0].split()) and "node-" in wide
    deployment = cluster.kubectl("get", "deployment", "web")
    assert re.search(r"web\s+3/3\s+3\s+3", deployment)
    assert cluster.kubectl("get", "deploy", "web", "-o", "name").strip() == "deployment.apps/web"
    assert cluster.kubectl_json("get", "deployment", "web")["status"]["readyReplicas"] == 3
    assert (
        cluster.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.phase}").split()
        == ["Running"] * 3
    )
    assert "service/web" in cluster.kubectl("get", "all")


def test_describe_tells_the_story_of_a_pod(cluster: Cluster, web: str) -> None:
    name = cluster.ready_pods("app=web")[0]["metadata"]["name"]

    def described() -> str:
        text = cluster.kubectl("describe", "pod", name)
        return text if all(word in text for word in ("Scheduled", "Created", "Started")) else ""

    text = eventually(described, "the pod's events are told")
    assert "ReplicaSet/web-" in text
    assert "NewReplicaSet" in cluster.kubectl("describe", "deployment", "web")
    assert "Kubelet Version" in cluster.kubectl("describe", "node", "node-1")


def test_watch_shows_changes_as_they_happen(cluster: Cluster) -> None:
    argv = ["timeout", "60", "kubectl", "get", "configmaps", "-w", "--output-watch-events", "-o", "json"]
    argv += ["--field-selector", "metadata.name=watched"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=cluster.environment) as watch:
        try:
            cluster.kubectl("create", "configmap", "watched", "--from-literal=a=1")
            assert watch.stdout is not None
            types = [json.loads(watch.stdout.readline())["type"]]
            cluster.kubectl("patch", "configmap", "watched", "--type=merge", "-p", '{"data":{"a":"2"}}')
            cluster.kubectl("delete", "configmap", "watched")
            types += [json.loads(watch.stdout.readline())["type"] for _ in range(2)]
        finally:
            watch.terminate()
    assert types == ["ADDED", "MODIFIED", "DELETED"]


def test_scale_up_and_down(cluster: Cluster, web: str) -> None:
    for replicas in (5, 3):
        cluster.kubectl("scale", "deployment/web", f"--replicas={replicas}")
        eventually(lambda n=replicas: len(cluster.ready_pods("app=web")) == n, f"{replicas} pods are Ready")
    eventually(lambda: len(cluster.kubectl_json("get", "pods", "-l", "app=web")["items"]) == 3, "the rest is gone")


def test_a_rolling_update_never_loses_availability_and_can_be_undone(cluster: Cluster, web: str) -> None:
    address = cluster.kubectl_json("get", "service", "web")["spec"]["clusterIP"]
    before = {pod["metadata"]["name"] for pod in cluster.ready_pods("app=web")}
    cluster.kubectl("set", "env", "deployment/web", "RELEASE=2")
    with subprocess.Popen(
        ["kubectl", "rollout", "status", "deployment/web", "--timeout=80s"],
        env=cluster.environment,
        stdout=subprocess.DEVNULL,
    ) as rollout:
        answers: list[str] = []
        while rollout.poll() is None:
            answers += cluster.fetch("node-1", f"http://{address}/", 5)
            available = cluster.kubectl_json("get", "deployment", "web")["status"].get("availableReplicas", 0)
            assert available >= 2, "25 % of 3 rounds down to none unavailable; one is slack for the look itself"
    assert rollout.returncode == 0
    failed = answers.count("")
    measured(f"rolling update: {failed} of {len(answers)} requests failed")
    assert failed == 0
    after = {pod["metadata"]["name"] for pod in cluster.ready_pods("app=web")}
    assert not before & after
    assert re.search(r"^1\s.*\n^2\s", cluster.kubectl("rollout", "history", "deployment/web"), re.M)
    cluster.kubectl("rollout", "undo", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=80s")
    container = cluster.kubectl_json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert "env" not in container


def test_a_deleted_pod_is_replaced(cluster: Cluster, web: str) -> None:
    victim = cluster.ready_pods("app=web")[0]["metadata"]["name"]
    cluster.kubectl("delete", "pod", victim)
    pods = eventually(lambda: (p := cluster.ready_pods("app=web")) and len(p) == 3 and p, "three pods again")
    assert victim not in {pod["metadata"]["name"] for pod in pods}


def test_logs_and_exec(cluster: Cluster, web: str) -> None:
    script = "echo out; echo err >&2; exec sleep 1000"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "talker"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "timonier/hello:1", "command": ["sh", "-c", script]}],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/talker", "--timeout=60s")
    assert sorted(cluster.kubectl("logs", "talker").split()) == ["err", "out"]
    assert cluster.kubectl("logs", "talker", "--tail=1").strip() in ("err", "out")
    assert cluster.kubectl("exec", "talker", "--", "hostname").strip() == "talker"
    assert cluster.kubectl("exec", "-i", "talker", "--", "cat", stdin="through and back\n") == "through and back\n"
    failed = cluster.run("kubectl", "exec", "talker", "--", "sh", "-c", "exit 7")
    assert failed.code == 7, failed
    cluster.kubectl("delete", "pod", "talker", "--wait=true")
    assert cluster.run("kubectl", "get", "pod", "talker").code == 1


def test_containers_of_a_pod_share_one_address(cluster: Cluster) -> None:
    serve = ["sh", "-c", "mkdir -p /www && echo shared > /www/index.html && exec httpd -f -p 8080 -h /www"]
    containers = [
        {"name": "web", "image": "timonier/hello:1", "command": serve},
        {"name": "side", "image": "timonier/hello:1", "command": ["sleep", "1000"]},
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pair"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/pair", "--timeout=60s")

    def fetched() -> bool:
        result = cluster.run("kubectl", "exec", "pair", "-c", "side", "--", "wget", "-qO-", "http://127.0.0.1:8080/")
        return result.out.strip() == "shared"

    eventually(fetched, "one container answers the other on localhost")
    cluster.kubectl("delete", "pod", "pair")


def test_service_names_resolve_inside_pods(cluster: Cluster, web: str) -> None:
    pod = cluster.ready_pods("app=web")[0]["metadata"]["name"]
    names = {p["metadata"]["name"] for p in cluster.ready_pods("app=web")}
    for host in ("web", "web.default", "web.default.svc.cluster.local"):
        assert cluster.kubectl("exec", pod, "--", "wget", "-qO-", f"http://{host}/").strip() in names
    assert "10.96.0.1" in cluster.kubectl("exec", pod, "--", "nslookup", "kubernetes.default.svc.cluster.local")


def test_selectors_and_labels(cluster: Cluster, web: str) -> None:
    pod = cluster.ready_pods("app=web")[0]["metadata"]["name"]
    cluster.kubectl("label", "pod", pod, "colour=blue")
    chosen = cluster.kubectl("get", "pods", "-l", "app=web,colour in (blue,red)", "-o", "name").split()
    assert chosen == [f"pod/{pod}"]
    assert len(cluster.kubectl("get", "pods", "-l", "app=web,colour!=blue", "-o", "name").split()) == 2
    node = cluster.kubectl_json("get", "pod", pod)["spec"]["nodeName"]
    assert (
        f"pod/{pod}"
        in cluster.kubectl("get", "pods", "--field-selector", f"spec.nodeName={node}", "-o", "name").split()
    )


def test_namespaces_separate_and_take_their_content_along(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "other")
    manifest = json.dumps(deployment_manifest("web", 1))
    cluster.kubectl("apply", "-n", "other", "-f", "-", stdin=manifest)
    cluster.kubectl("rollout", "status", "-n", "other", "deployment/web", "--timeout=80s")
    eventually(lambda: "default" in cluster.kubectl("get", "serviceaccounts", "-n", "other"), "the default account")
    assert "kube-root-ca.crt" in cluster.kubectl("get", "configmaps", "-n", "other")
    assert len(cluster.kubectl("get", "pods", "-A", "-l", "app=web", "-o", "name").split()) >= 4
    cluster.kubectl("delete", "namespace", "other", "--timeout=80s")
    assert cluster.run("kubectl", "get", "namespace", "other").code == 1
    assert "No resources found" in cluster.run("kubectl", "get", "pods", "-n", "other").err


FIELD_VALIDATION_SINCE = 25  # older clients do not ask for it, so any server only warns them


def kubectl_minor(cluster: Cluster) -> int:
    version = json.loads(cluster.kubectl("version", "--client", "-o", "json"))["clientVersion"]
    return int(re.match(r"\d+", version["minor"])[0])


BAD_MANIFESTS = {
    "wrong type": ("kind: Pod", "spec: {containers: [{name: a, image: b, ports: 5}]}", "ports"),
    "unknown kind": ("kind: Pot", "spec: {}", 'no matches for kind "Pot"'),
    "bad name": ("kind: ConfigMap", "metadata: {name: Not_A_Name}", "metadata.name: Invalid value"),
    "unknown field": ("kind: ConfigMap", "dada: {}", 'unknown field "dada"'),
    "missing field": ("kind: Pod", "spec: {containers: [{name: a}]}", "spec.containers[0].image"),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_bad_input_is_refused_by_name_and_changes_nothing(cluster: Cluster, case: str, tmp_path: Path) -> None:
    kind, body, message = BAD_MANIFESTS[case]
    name = "" if "metadata" in body else "metadata: {name: bad}\n"
    manifest = f"apiVersion: v1\n{kind}\n{name}{body}\n"
    file = tmp_path / "bad.yaml"
    file.write_text(manifest)
    before = cluster.kubectl("get", "pods,configmaps", "-o", "name")
    result = cluster.run("kubectl", "create", "-f", str(file))
    if case == "unknown field" and kubectl_minor(cluster) < FIELD_VALIDATION_SINCE:
        assert f"Warning: {message}" in result.err, result
        cluster.kubectl("delete", "-f", str(file))
    else:
        assert result.code == 1 and message in result.err, result
    assert cluster.kubectl("get", "pods,configmaps", "-o", "name") == before


def test_timonier_speaks_the_same_verbs(cluster: Cluster, web: str) -> None:
    assert "node-3" in cluster.timonier("get", "nodes").out
    assert len(json.loads(cluster.timonier("get", "pods", "-l", "app=web", "-o", "json").out)["items"]) == 3
    assert "web" in cluster.timonier("describe", "deployment", "web").out
    cluster.timonier("scale", "deployment/web", "--replicas=4")
    cluster.timonier("rollout", "status", "deployment/web", timeout_s=80)
    pod = cluster.ready_pods("app=web")[0]["metadata"]["name"]
    assert cluster.timonier("exec", pod, "--", "hostname").out.strip() == pod
    cluster.timonier("logs", pod)
    missing = cluster.run(TIMONIER, "get", "pod", "nosuch")
    assert missing.code == 1 and 'pods "nosuch" not found' in missing.err
    cluster.timonier("delete", "deployment", "web")
    eventually(lambda: not cluster.kubectl_json("get", "pods", "-l", "app=web")["items"], "the pods go with it")
    cluster.kubectl("delete", "service", "web")
