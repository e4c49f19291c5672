"""Masters and nodes die; nothing acknowledged is lost and the work goes on elsewhere. Times are printed, not judged."""

import json
import threading
import time
from itertools import pairwise

import pytest
from e2e_cluster import Cluster, deployment_manifest, eventually, is_ready, measured, service_manifest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

NAMESPACE = "default"


class Writer(threading.Thread):
    """Creates ConfigMaps one after another and remembers which were acknowledged."""

    def __init__(self, kubeconfig: str) -> None:
        super().__init__(daemon=True)
        self._api = client.CoreV1Api(config.new_client_from_config(config_file=kubeconfig))
        self._stop_asked = threading.Event()
        self.acknowledged: list[tuple[str, float]] = []
        self.failures = 0

    def run(self) -> None:
        number = 0
        while not self._stop_asked.is_set():
            number += 1
            name = f"acknowledged-{number}"
            try:
                self._api.create_namespaced_config_map(
                    NAMESPACE, {"metadata": {"name": name, "labels": {"by": "writer"}}}, _request_timeout=3
                )
                self.acknowledged.append((name, time.monotonic()))
            except (ApiException, HTTPError, OSError):
                self.failures += 1

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(20)


def test_killing_the_leading_master_loses_no_acknowledged_write(cluster: Cluster) -> None:
    leader = cluster.status()["store_leader"]
    writer = Writer(cluster.environment["KUBECONFIG"])
    writer.start()
    eventually(lambda: len(writer.acknowledged) >= 20, "writes flow")
    killed_at = time.monotonic()
    cluster.timonier("chaos", "kill", leader)
    try:
        eventually(lambda: writer.acknowledged[-1][1] > killed_at + 1, "writes succeed again", 60)
        eventually(lambda: len(writer.acknowledged) >= 100, "writes keep flowing", 60)
        new_leader = eventually(lambda: cluster.status()["store_leader"], "the store has a leader")
        assert new_leader != leader
    finally:
        writer.stop()
        cluster.timonier("chaos", "start", leader)
    times = [at for _, at in writer.acknowledged]
    gap_s = max(later - earlier for earlier, later in pairwise(times))
    measured(f"leading master killed: {gap_s:.2f} s without an acknowledged write, {writer.failures} writes failed")
    kept = set(cluster.kubectl("get", "configmaps", "-l", "by=writer", "-o", "name").split())
    lost = [name for name, _ in writer.acknowledged if f"configmap/{name}" not in kept]
    assert not lost
    eventually(lambda: all(m["api"] == "ready" for m in cluster.status()["masters"]), "the killed master is back")
    follower = cluster.kubectl("--context", leader, "get", "configmaps", "-l", "by=writer", "-o", "name").split()
    assert set(follower) == kept, "the returned master serves the same state"
    cluster.kubectl("delete", "configmaps", "-l", "by=writer", "--wait=false")


@pytest.mark.parametrize("role", ["scheduler", "controllers"])
def test_another_master_takes_over_the_role(cluster: Cluster, role: str) -> None:
    def leader_of() -> str:
        return next((m["name"] for m in cluster.status()["masters"] if role in m["leads"] and m["power"] == "on"), "")

    before = eventually(leader_of, f"somebody leads the {role}")
    cluster.timonier("chaos", "kill", before)
    started = time.monotonic()
    try:
        name = f"after-{role}"
        manifest = deployment_manifest(name, 1)
        manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
        client.AppsV1Api(
            config.new_client_from_config(config_file=cluster.environment["KUBECONFIG"])
        ).create_namespaced_deployment(NAMESPACE, manifest)
        eventually(lambda: cluster.ready_pods(f"app={name}"), "a new Deployment runs", 90)
        measured(f"{role} led by {before}, killed: a new Deployment was Ready {time.monotonic() - started:.1f} s later")
        assert eventually(leader_of, f"somebody leads the {role} again") != before
    finally:
        cluster.timonier("chaos", "start", before)
    cluster.kubectl("delete", "deployment", name)
    eventually(lambda: all(m["api"] == "ready" for m in cluster.status()["masters"]), "all masters are back")


def test_pods_of_a_killed_node_serve_again_elsewhere(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(deployment_manifest("moving", 3)))
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service_manifest("moving")))
    cluster.kubectl("rollout", "status", "deployment/moving", "--timeout=80s")
    victim = cluster.ready_pods("app=moving")[0]["spec"]["nodeName"]
    other = next(n for n in ("node-1", "node-2", "node-3") if n != victim)
    address = cluster.kubectl_json("get", "service", "moving")["spec"]["clusterIP"]
    started = time.monotonic()
    cluster.timonier("chaos", "kill", victim)
    try:
        eventually(lambda: "NotReady" in cluster.kubectl("get", "node", victim), "the node is NotReady")
        not_ready_s = time.monotonic() - started
        eventually(lambda: victim not in _endpoint_nodes(cluster), "endpoints name live nodes only")
        cleaned_s = time.monotonic() - started
        eventually(lambda: _ready_elsewhere(cluster, victim) == 3, "three pods are Ready elsewhere")
        moved_s = time.monotonic() - started
        live = {p["metadata"]["name"] for p in cluster.ready_pods("app=moving") if p["spec"]["nodeName"] != victim}
        bodies = eventually(
            lambda: (b := cluster.fetch(other, f"http://{address}/", 20)) and "" not in b and b, "no request fails"
        )
        assert set(bodies) <= live
        measured(
            f"node killed: NotReady {not_ready_s:.1f} s, endpoints clean {cleaned_s:.1f} s, replaced {moved_s:.1f} s"
        )
    finally:
        cluster.timonier("chaos", "start", victim)
    eventually(lambda: "NotReady" not in cluster.kubectl("get", "node", victim), "the node is back", 120)
    eventually(
        lambda: len(cluster.kubectl_json("get", "pods", "-l", "app=moving")["items"]) == 3,
        "old pods are gone",
        120,
    )
    cluster.kubectl("delete", "deployment,service", "moving")


def test_an_isolated_master_steps_aside_and_rejoins(cluster: Cluster) -> None:
    leader = cluster.status()["store_leader"]
    cluster.timonier("chaos", "isolate", leader)
    try:

        def new_leader() -> bool:
            leaders = [m["name"] for m in cluster.status()["masters"] if m["store"] == "leader"]
            return bool(leaders) and leader not in leaders

        eventually(new_leader, "the majority elects another leader", 60)
        created = eventually(
            lambda: (
                cluster.run("kubectl", "create", "configmap", "split", "--request-timeout=5s").code == 0
                or cluster.run("kubectl", "get", "configmap", "split").code == 0
            ),
            "writes go on",
            60,
        )
        assert created
    finally:
        cluster.timonier("chaos", "heal", leader)
    eventually(
        lambda: cluster.run("kubectl", "--context", leader, "get", "configmap", "split").code == 0, "it catches up"
    )
    cluster.kubectl("delete", "configmap", "split")


def test_a_paused_node_is_replaced_and_returns_in_peace(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(deployment_manifest("paused", 2)))
    cluster.kubectl("rollout", "status", "deployment/paused", "--timeout=80s")
    victim = cluster.ready_pods("app=paused")[0]["spec"]["nodeName"]
    cluster.timonier("chaos", "pause", victim)
    try:
        eventually(lambda: _ready_elsewhere(cluster, victim, "paused") == 2, "two pods are Ready elsewhere")
    finally:
        cluster.timonier("chaos", "resume", victim)
    eventually(lambda: "NotReady" not in cluster.kubectl("get", "node", victim), "the node is Ready again", 120)
    eventually(
        lambda: len(cluster.kubectl_json("get", "pods", "-l", "app=paused")["items"]) == 2, "two pods in all", 120
    )
    cluster.kubectl("delete", "deployment", "paused")


def _endpoint_nodes(cluster: Cluster) -> set[str]:
    slices = cluster.kubectl_json("get", "endpointslices", "-l", "kubernetes.io/service-name=moving")["items"]
    endpoints = [e for s in slices for e in s.get("endpoints", [])]
    return {e.get("nodeName", "") for e in endpoints if e.get("conditions", {}).get("ready")}


def _ready_elsewhere(cluster: Cluster, victim: str, app: str = "moving") -> int:
    pods = cluster.kubectl_json("get", "pods", "-l", f"app={app}")["items"]
    return sum(is_ready(pod) and pod["spec"]["nodeName"] != victim for pod in pods)
