"""What a node does with pods: restarts, endings, static manifests, configuration, node ports."""

import json
import urllib.request
from typing import Any

from e2e_cluster import Cluster, deployment_manifest, eventually

IMAGE = "timonier/hello:1"


def pod_manifest(name: str, script: str, **spec: Any) -> str:
    container = {"name": "c", "image": IMAGE, "command": ["sh", "-c", script]}
    full = {"terminationGracePeriodSeconds": 0, "containers": [container], **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": full})


def status_of(cluster: Cluster, pod: str) -> Any:
    return cluster.kubectl_json("get", "pod", pod)["status"]


def test_a_container_that_ends_is_started_again_and_counted(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("restless", "exit 1"))
    eventually(
        lambda: status_of(cluster, "restless").get("containerStatuses", [{}])[0].get("restartCount", 0) >= 1,
        "a restart",
    )
    eventually(lambda: "CrashLoopBackOff" in cluster.kubectl("get", "pod", "restless"), "it waits before the next")
    cluster.kubectl("delete", "pod", "restless")


def test_a_pod_that_never_restarts_ends_with_its_exit_code(cluster: Cluster) -> None:
    for name, script, phase in (("failing", "exit 3", "Failed"), ("done", "true", "Succeeded")):
        cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name, script, restartPolicy="Never"))
        eventually(lambda n=name, p=phase: status_of(cluster, n).get("phase") == p, f"{name} is {phase}")
    state = status_of(cluster, "failing")["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (3, "Error")
    cluster.kubectl("delete", "pod", "failing", "done")


def test_an_image_that_is_nowhere_is_told(cluster: Cluster) -> None:
    cluster.kubectl("run", "imageless", "--image=nosuch.invalid/image:1")
    eventually(
        lambda: "Err" in (t := cluster.kubectl("get", "pod", "imageless")) or "ImagePullBackOff" in t, "the reason"
    )
    cluster.kubectl("delete", "pod", "imageless", "--now")


def test_a_pod_that_fits_nowhere_says_why(cluster: Cluster) -> None:
    container = {"name": "c", "image": IMAGE, "resources": {"requests": {"cpu": "1000"}}}
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("huge", "true", containers=[container]))
    text = eventually(
        lambda: (t := cluster.kubectl("describe", "pod", "huge")) and "FailedScheduling" in t and t, "an event"
    )
    assert "0/3 nodes are available: 3 Insufficient cpu." in text
    cluster.kubectl("delete", "pod", "huge")


def test_selectors_and_taints_steer_pods(cluster: Cluster) -> None:
    cluster.kubectl("label", "node", "node-2", "disk=fast")
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("chosen", "sleep 1000", nodeSelector={"disk": "fast"}))
    eventually(lambda: status_of(cluster, "chosen").get("phase") == "Running", "it runs")
    assert cluster.kubectl_json("get", "pod", "chosen")["spec"]["nodeName"] == "node-2"
    cluster.kubectl("taint", "node", "node-2", "keep=out:NoExecute")
    eventually(lambda: cluster.run("kubectl", "get", "pod", "chosen").code == 1, "the taint evicts it")
    cluster.kubectl("taint", "node", "node-2", "keep=out:NoExecute-")
    cluster.kubectl("label", "node", "node-2", "disk-")


def test_a_static_pod_runs_and_is_mirrored(cluster: Cluster) -> None:
    folder = cluster.layout.etc("node-3") / "manifests"
    (folder / "static.json").write_text(pod_manifest("static", "sleep 1000"))

    def running() -> bool:
        result = cluster.run("kubectl", "get", "pod", "static-node-3", "-o", "json")
        return result.code == 0 and json.loads(result.out)["status"].get("phase") == "Running"

    eventually(running, "the mirror pod is Running")
    (folder / "static.json").unlink()
    eventually(lambda: cluster.run("kubectl", "get", "pod", "static-node-3").code == 1, "it goes with its file")


def test_configuration_reaches_the_container(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "settings", "--from-literal=colour=blue")
    cluster.kubectl("create", "secret", "generic", "password", "--from-literal=value=hidden")
    container = {
        "name": "c",
        "image": IMAGE,
        "command": ["sh", "-c", 'echo "$COLOUR $(cat /etc/settings/colour) $(cat /secret/value) $NAME"; sleep 1000'],
        "env": [
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "volumeMounts": [{"name": "s", "mountPath": "/etc/settings"}, {"name": "p", "mountPath": "/secret"}],
    }
    volumes = [{"name": "s", "configMap": {"name": "settings"}}, {"name": "p", "secret": {"secretName": "password"}}]
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("configured", "", containers=[container], volumes=volumes))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/configured", "--timeout=60s")
    eventually(
        lambda: cluster.kubectl("logs", "configured").strip() == "blue blue hidden configured", "it says all four"
    )
    cluster.kubectl("delete", "pod/configured", "configmap/settings", "secret/password", "--now")


def test_a_node_port_answers_on_every_node(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(deployment_manifest("ported", 1)))
    cluster.kubectl("expose", "deployment", "ported", "--type=NodePort", "--port=80", "--target-port=8080")
    cluster.kubectl("rollout", "status", "deployment/ported", "--timeout=80s")
    port = cluster.kubectl_json("get", "service", "ported")["spec"]["ports"][0]["nodePort"]
    pod = cluster.ready_pods("app=ported")[0]["metadata"]["name"]

    def answered(address: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}:{port}/", timeout=3) as answer:
                return bool(answer.read().decode().strip() == pod)
        except OSError:
            return False

    for host in cluster.layout.node_hosts:
        eventually(lambda a=host.address: answered(a), f"{host.name} answers on {port}")
    cluster.kubectl("delete", "deployment,service", "ported")
