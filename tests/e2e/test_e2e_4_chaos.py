"""The chaos scenario of the command line: a node dies under load, and a verdict is printed."""

import json

from e2e_cluster import TIMONIER, Cluster


def test_kill_node_under_load_ends_with_a_verdict(cluster: Cluster) -> None:
    result = cluster.timonier("chaos", "run", "kill-node-under-load", "-o", "json", timeout_s=240)
    verdict = json.loads(result.out)
    print(result.out)
    assert verdict["passed"] is True, verdict


def test_a_host_that_does_not_exist_is_named_in_the_error(cluster: Cluster) -> None:
    result = cluster.run(TIMONIER, "chaos", "kill", "node-9")
    assert result.code == 2 and "node-9" in result.err
