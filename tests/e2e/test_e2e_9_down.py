"""The last word: `down --purge` removes every trace; and the embedded engine runs the same sample without Docker."""

import json

from e2e_cluster import TIMONIER, UP_TIMEOUT_S, Cluster, eventually, remove, traces


def test_purge_removes_every_trace(cluster: Cluster) -> None:
    layout = cluster.layout
    cluster.timonier("down", "--purge", timeout_s=120)
    assert traces(layout) == []
    assert not layout.home.exists()
    assert cluster.run(TIMONIER, "status").code == 1


def test_the_embedded_engine_runs_the_sample() -> None:
    small = Cluster("emb")
    remove(small)
    shape = ["--masters", "1", "--nodes", "2", "--network", "94", "--port", "16444"]
    try:
        shown = small.timonier("up", "--runtime", "embedded", *shape, timeout_s=UP_TIMEOUT_S).out
        assert "answered by" in shown
        layout = small.layout
        pods = json.loads(small.timonier("get", "pods", "-o", "json").out)["items"]
        assert len(pods) == 3 and {p["spec"]["nodeName"] for p in pods} == {"node-1", "node-2"}
        name = pods[0]["metadata"]["name"]
        assert small.timonier("exec", name, "--", "hostname").out.strip() == name
        nodes = json.loads(small.timonier("get", "nodes", "-o", "json").out)["items"]
        assert all(n["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("embedded://") for n in nodes)
        small.timonier("chaos", "kill", "node-2")
        eventually(lambda: _ready_on(small, "node-1") == 3, "the sample serves from the other node")
        small.timonier("chaos", "start", "node-2")
    finally:
        layout = small.layout
        remove(small)
    assert traces(layout) == []


def _ready_on(cluster: Cluster, node: str) -> int:
    pods = json.loads(cluster.timonier("get", "pods", "-l", "app=hello", "-o", "json").out)["items"]
    ready = [p for p in pods if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"])]
    return sum(p["spec"]["nodeName"] == node for p in ready)
