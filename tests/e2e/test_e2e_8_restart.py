"""The cluster survives being switched off, crashed and switched on again."""

from e2e_cluster import NAME, NETWORK, PORT, UP_TIMEOUT_S, Cluster, eventually, traces

from chaos import cgroups
from cli.cluster import hosts

UP = ["up", "--cluster", NAME, "--network", str(NETWORK), "--port", str(PORT)]


def test_down_leaves_nothing_and_up_brings_the_state_back(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "remembered", "--from-literal=a=1")
    layout = cluster.layout
    cluster.timonier("down", timeout_s=120)
    assert traces(layout) == []
    assert cluster.run("kubectl", "get", "nodes").code == 1
    cluster.timonier(*UP, timeout_s=UP_TIMEOUT_S)
    assert cluster.kubectl_json("get", "configmap", "remembered")["data"] == {"a": "1"}
    eventually(lambda: len(cluster.ready_pods("app=hello")) == 3, "the sample serves again", 120)


def test_up_repairs_a_cluster_whose_every_process_was_killed(cluster: Cluster) -> None:
    layout = cluster.layout
    for name in [*(host.name for host in layout.hosts), hosts.GATEWAY]:
        cgroups.kill(layout.cgroup(name))
    cluster.timonier(*UP, timeout_s=UP_TIMEOUT_S)
    assert cluster.kubectl_json("get", "configmap", "remembered")["data"] == {"a": "1"}
    eventually(lambda: len(cluster.ready_pods("app=hello")) == 3, "the sample serves again", 120)
