"""What people do all day with kubectl, against a server without controllers or kubelets."""

import json
import subprocess

import pytest
from apiserver_harness import Caller, Kubectl

NAMESPACE = "flows"
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "web:1", env: [{name: A, value: a}, {name: B, value: b}]}]
"""


@pytest.fixture(scope="module")
def flows(kubectl: Kubectl, admin: Caller) -> Kubectl:
    assert admin.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).code == 201
    return kubectl


def ok(flows: Kubectl, line: str, stdin: str = "") -> str:
    return flows.ok("-n", NAMESPACE, *line.split(), stdin=stdin)


def test_a_manifest_is_changed_compared_edited_and_replaced(flows: Kubectl) -> None:
    assert ok(flows, "apply -f -", MANIFEST) == "deployment.apps/web created\n"
    changed = MANIFEST.replace("web:1", "web:2").replace("{name: A, value: a}, ", "")
    compared = flows.run("-n", NAMESPACE, "diff", "-f", "-", stdin=changed)
    assert compared.returncode == 1 and "+        image: web:2" in compared.stdout
    assert "-        - name: A" in compared.stdout and "+  generation: 2" in compared.stdout
    assert ok(flows, "apply -f -", changed) == "deployment.apps/web configured\n"
    environment = {**flows.environment, "EDITOR": "sed -i s/replicas:.2/replicas:\\ 5/"}
    edit = ["kubectl", "-n", NAMESPACE, "edit", "deployment", "web"]
    edited = subprocess.run(edit, env=environment, capture_output=True, text=True, timeout=30)
    assert edited.stdout == "deployment.apps/web edited\n", edited.stderr
    live = ok(flows, "get deployment web -o yaml")
    assert ok(flows, "replace -f -", live.replace("replicas: 5", "replicas: 4")) == "deployment.apps/web replaced\n"
    tree = json.loads(ok(flows, "get deployment web -o json"))
    assert tree["spec"]["replicas"] == 4 and tree["metadata"]["generation"] == 4
    assert tree["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "B", "value": "b"}]
    assert ok(flows, "set image deployment/web web=web:9") == "deployment.apps/web image updated\n"
    assert ok(flows, "expose deployment web --port=80") == "service/web exposed\n"
    assert ok(flows, "delete deployment,service --all").count(" deleted\n") == 2


def test_a_pod_is_run_labelled_waited_for_and_deleted(flows: Kubectl) -> None:
    assert ok(flows, "run p --image=i") == "pod/p created\n"
    assert ok(flows, "label pod p x=y") == "pod/p labeled\n"
    refused = flows.run("-n", NAMESPACE, "label", "pod", "p", "x=z")
    assert refused.returncode == 1 and "--overwrite is false" in refused.stderr
    assert ok(flows, "annotate pods --all q=r") == "pod/p annotated\n"
    assert ok(flows, "wait --for=jsonpath={.status.phase}=Pending pod/p --timeout=10s") == "pod/p condition met\n"
    with subprocess.Popen(
        ["kubectl", "-n", NAMESPACE, "wait", "--for=delete", "pod/p", "--timeout=20s"],
        env=flows.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert ok(flows, "delete pods --all --now") == 'pod "p" deleted\n'
        assert waiting.wait(timeout=25) == 0


def test_a_node_is_emptied_in_thought_and_then_in_deed(flows: Kubectl, admin: Caller) -> None:
    assert admin.post("/api/v1/nodes", {"metadata": {"name": "flow-node"}}).code == 201
    pod = {
        "metadata": {"name": "on-node"},
        "spec": {"nodeName": "flow-node", "containers": [{"name": "c", "image": "i"}]},
    }
    assert admin.post(f"/api/v1/namespaces/{NAMESPACE}/pods", pod).code == 201
    assert ok(flows, "cordon flow-node") == "node/flow-node cordoned\n"
    for where in ("client", "server"):
        assert "drained" in ok(flows, f"drain flow-node --force --dry-run={where}")
    assert admin.get(f"/api/v1/namespaces/{NAMESPACE}/pods/on-node").code == 200
    assert ok(flows, "drain flow-node --force --grace-period=0").endswith("node/flow-node drained\n")
    assert admin.get(f"/api/v1/namespaces/{NAMESPACE}/pods/on-node").code == 404
    assert ok(flows, "uncordon flow-node") == "node/flow-node uncordoned\n"
    assert admin.delete("/api/v1/nodes/flow-node").code == 200


def test_events_and_rights_are_shown(flows: Kubectl, admin: Caller) -> None:
    times = {"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:10:00Z", "count": 3}
    about = {"kind": "Pod", "namespace": NAMESPACE, "name": "p", "apiVersion": "v1"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Pulled", "message": "got it", **times}
    assert admin.post(f"/api/v1/namespaces/{NAMESPACE}/events", {**event, "type": "Normal"}).code == 201
    assert ok(flows, "events --for pod/p").splitlines()[1].split()[-4:] == ["Pulled", "Pod/p", "got", "it"]
    assert ok(flows, "get events --no-headers").split()[-3:] == ["pod/p", "got", "it"]
    assert ok(flows, "auth can-i delete nodes") == "yes\n"


def test_a_kind_that_is_not_served_is_said_to_be_missing(flows: Kubectl) -> None:
    refused = flows.run("-n", NAMESPACE, "create", "job", "j", "--image=i")
    assert refused.returncode == 1 and "the server could not find the requested resource" in refused.stderr
