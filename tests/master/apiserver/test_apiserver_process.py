"""The whole thing: store and API servers as processes, and unmodified kubectl in front of them."""

import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import Caller, Kubectl, until
from apiserver_processes import Processes, is_ready, ready
from apiserver_watching import Watch

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture(scope="module")
def processes(
    tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority, admin_identity: tuple[str, str]
) -> Iterator[Processes]:
    running = Processes(tmp_path_factory.mktemp("processes"), authority, admin_identity)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def masters(processes: Processes) -> tuple[Caller, Caller]:
    """Two API servers; the first was there before the store."""
    first = processes.start_apiserver("master-1")

    def alive() -> bool:
        try:
            return first.get("/livez").code == 200
        except OSError:
            return False

    until(alive, "liveness")
    assert first.get("/readyz").code == 500
    refused = first.get("/api/v1/namespaces")
    assert refused.code == 503 and refused.headers["retry-after"] == "1"
    processes.start_store()
    return ready(first), ready(processes.start_apiserver("master-2"))


@pytest.fixture(scope="module")
def cli(
    masters: tuple[Caller, Caller],
    authority: TestAuthority,
    admin_identity: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Kubectl:
    return Kubectl(tmp_path_factory.mktemp("kubectl"), masters[0].port, authority, admin_identity)


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "web:1"}]
"""


def test_kubectl_applies_reads_changes_and_deletes(cli: Kubectl) -> None:
    assert cli.ok("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/web created\n"
    assert cli.ok("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/web unchanged\n"
    changed = DEPLOYMENT.replace("web:1", "web:2")
    assert cli.ok("apply", "-f", "-", stdin=changed) == "deployment.apps/web configured\n"
    assert cli.ok("get", "deploy", "web").split("\n")[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert cli.ok("get", "deploy", "web", "-o", "wide").split("\n")[1].split()[5:] == ["web", "web:2", "app=web"]
    tree = json.loads(cli.ok("get", "deploy", "web", "-o", "json"))
    assert tree["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    assert cli.ok("scale", "deploy", "web", "--replicas=3") == "deployment.apps/web scaled\n"
    assert cli.ok("scale", "deploy", "web", "--replicas=4", "--current-replicas=3") == "deployment.apps/web scaled\n"
    assert cli.ok("label", "deploy", "web", "tier=front") == "deployment.apps/web labeled\n"
    assert cli.ok("set", "image", "deploy/web", "web=web:3") == "deployment.apps/web image updated\n"
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}}'
    assert cli.ok("patch", "deploy", "web", "-p", patch) == "deployment.apps/web patched\n"
    names = cli.ok("get", "deploy", "-l", "tier=front", "-o", "jsonpath={..containers[*].name} {..replicas}")
    assert sorted(names.split()) == ["4", "side", "web"]
    assert cli.ok("delete", "deploy", "web") == 'deployment.apps "web" deleted\n'
    assert cli.run("get", "deploy", "web").stderr == 'Error from server (NotFound): deployments.apps "web" not found\n'


def test_kubectl_creates_by_protobuf(cli: Kubectl) -> None:
    assert cli.ok("create", "namespace", "team") == "namespace/team created\n"
    assert cli.ok("create", "configmap", "c", "-n", "team", "--from-literal=a=b") == "configmap/c created\n"
    assert cli.ok("create", "secret", "generic", "s", "-n", "team", "--from-literal=a=b") == "secret/s created\n"
    assert cli.ok("create", "deployment", "d", "-n", "team", "--image=i") == "deployment.apps/d created\n"
    assert cli.ok("create", "service", "nodeport", "n", "-n", "team", "--tcp=80:8080") == "service/n created\n"
    assert cli.ok("get", "cm", "c", "-n", "team", "-o", "jsonpath={.data}") == '{"a":"b"}'
    assert cli.ok("get", "svc", "n", "-n", "team").split("\n")[1].split()[4].startswith("80:3")


def test_kubectl_watches(cli: Kubectl) -> None:
    command = ["kubectl", "get", "configmaps", "-w", "--output-watch-events", "--no-headers"]
    with subprocess.Popen(command, env=cli.environment, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(20, process.kill)
        timer.start()
        try:
            cli.ok("create", "configmap", "watched")
            seen: list[list[str]] = []
            assert process.stdout is not None
            for line in process.stdout:
                seen.append(line.split()[:2])
                if seen[-1] == ["ADDED", "watched"]:
                    cli.ok("delete", "configmap", "watched")
                if seen[-1] == ["DELETED", "watched"]:
                    break
        finally:
            timer.cancel()
            process.kill()
    assert [event for event in seen if event[1] == "watched"] == [["ADDED", "watched"], ["DELETED", "watched"]]


def test_kubectl_knows_the_server(cli: Kubectl) -> None:
    assert "gitVersion: v1.36.0+timonier" in cli.ok("version", "-o", "yaml")
    resources = {line.split()[0] for line in cli.ok("api-resources", "--no-headers").splitlines()}
    assert {"pods", "services", "deployments", "replicasets", "endpointslices", "leases", "namespaces"} <= resources
    assert cli.ok("auth", "can-i", "create", "pods") == "yes\n"
    assert "kubernetes-admin" in cli.ok("auth", "whoami")
    assert cli.ok("get", "all").count("service/kubernetes") == 1


BAD: list[tuple[str, str, str]] = [
    (
        "wrong type",
        DEPLOYMENT.replace("replicas: 2", "replicas: two"),
        "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    ("unknown kind", DEPLOYMENT.replace("kind: Deployment", "kind: Deploiment"), 'no matches for kind "Deploiment"'),
    ("bad name", DEPLOYMENT.replace("name: web}", "name: Web_1}", 1), 'metadata.name: Invalid value: "Web_1"'),
    ("unknown field", DEPLOYMENT.replace("replicas: 2", "replica: 2"), 'unknown field "spec.replica"'),
]


@pytest.mark.parametrize(("what", "manifest", "message"), BAD, ids=[case[0] for case in BAD])
def test_a_bad_manifest_is_refused_and_changes_nothing(
    cli: Kubectl, masters: tuple[Caller, Caller], what: str, manifest: str, message: str
) -> None:
    before = masters[0].get("/apis/apps/v1/deployments").json["items"]
    for verb in ("create", "apply"):
        done = cli.run(verb, "-f", "-", stdin=manifest)
        assert done.returncode == 1
        assert message in done.stderr
    assert masters[0].get("/apis/apps/v1/deployments").json["items"] == before


def test_a_write_to_one_server_is_read_from_the_other_at_once(masters: tuple[Caller, Caller]) -> None:
    for number in range(20):
        writer, reader = masters[number % 2], masters[1 - number % 2]
        assert writer.post(CONFIGMAPS, {"metadata": {"name": f"fresh-{number}"}}).code == 201
        assert reader.get(f"{CONFIGMAPS}/fresh-{number}").code == 200
        assert writer.delete(f"{CONFIGMAPS}/fresh-{number}").code == 200
        assert reader.get(f"{CONFIGMAPS}/fresh-{number}").code == 404


def test_a_watch_moves_from_one_server_to_the_other_without_a_gap(masters: tuple[Caller, Caller]) -> None:
    start = masters[0].get(CONFIGMAPS).json["metadata"]["resourceVersion"]
    seen = []
    for number in range(6):
        with Watch(masters[number % 2], f"{CONFIGMAPS}?watch=true&resourceVersion={start}") as watch:
            masters[0].post(CONFIGMAPS, {"metadata": {"name": f"moved-{number}"}})
            event = watch.next()
            seen.append((event["type"], event["object"]["metadata"]["name"]))
            start = event["object"]["metadata"]["resourceVersion"]
    assert seen == [("ADDED", f"moved-{number}") for number in range(6)]


def test_two_servers_never_hand_out_one_address_twice(masters: tuple[Caller, Caller]) -> None:
    def make(number: int) -> Any:
        body = {"metadata": {"name": f"s{number}"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
        return masters[number % 2].post(SERVICES, body)

    def claim(number: int) -> int:
        body = {"metadata": {"name": f"same{number}"}, "spec": {"clusterIP": "10.0.77.77", "ports": [{"port": 80}]}}
        return masters[number % 2].post(SERVICES, body).code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(make, range(24)))
        assert sorted(pool.map(claim, range(8))) == [201] + [422] * 7
    assert {answer.code for answer in answers} == {201}
    assert len({answer.json["spec"]["clusterIP"] for answer in answers}) == 24
    assert len({answer.json["spec"]["ports"][0]["nodePort"] for answer in answers}) == 24


def test_concurrent_patches_through_both_servers_all_count(masters: tuple[Caller, Caller]) -> None:
    masters[0].post(CONFIGMAPS, {"metadata": {"name": "shared"}})

    def patch(number: int) -> int:
        return masters[number % 2].patch(f"{CONFIGMAPS}/shared", {"data": {f"k{number}": "v"}}).code

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(patch, range(30)))
    stored = masters[0].get(f"{CONFIGMAPS}/shared").json["data"]
    assert set(codes) <= {200, 409}
    assert len(stored) == codes.count(200) >= 15


def test_the_kubernetes_service_lists_the_live_servers(masters: tuple[Caller, Caller], processes: Processes) -> None:
    def addresses() -> list[str]:
        subsets = masters[0].get("/api/v1/namespaces/default/endpoints/kubernetes").json.get("subsets", [])
        return [address["ip"] for subset in subsets for address in subset["addresses"]]

    third = ready(processes.start_apiserver("master-3", public="192.0.2.23"))
    until(lambda: "192.0.2.23" in addresses(), "the third address")
    assert third.get("/readyz").code == 200
    processes.kill("master-3")
    until(lambda: addresses() == ["192.0.2.21"], "the end of the dead server's address", 30)


def test_events_expire(masters: tuple[Caller, Caller], processes: Processes) -> None:
    shortlived = ready(processes.start_apiserver("master-4", event_ttl_s=1))
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "Testing",
    }
    path = "/api/v1/namespaces/default/events"
    assert shortlived.post(path, event).code == 201
    assert masters[0].get(f"{path}/e").code == 200
    until(lambda: masters[0].get(f"{path}/e").code == 404, "the event's end")
    assert processes.terminate("master-4", 5) == 0


def test_sigterm_ends_watches_and_the_process_within_five_seconds(
    masters: tuple[Caller, Caller], processes: Processes
) -> None:
    with Watch(masters[1], f"{CONFIGMAPS}?watch=true&resourceVersion=0") as watch:
        assert watch.next()["type"] == "ADDED"
        assert processes.terminate("master-2", 5) == 0
        while watch.next() is not None:
            continue
    assert is_ready(masters[0])


def test_without_the_store_reads_fail_honestly_and_come_back(
    masters: tuple[Caller, Caller], processes: Processes
) -> None:
    masters[0].post(CONFIGMAPS, {"metadata": {"name": "kept"}})
    processes.kill("store")
    assert masters[0].get(f"{CONFIGMAPS}/kept?resourceVersion=0").code == 200, "any state, from the cache"
    assert masters[0].get(f"{CONFIGMAPS}/kept").code == 503
    answer = masters[0].post(CONFIGMAPS, {"metadata": {"name": "unsure"}})
    assert answer.code in (503, 504)
    processes.start_store()
    until(lambda: is_ready(masters[0]), "readiness")
    assert masters[0].get(f"{CONFIGMAPS}/kept").code == 200
    assert masters[0].post(CONFIGMAPS, {"metadata": {"name": "after"}}).code == 201
