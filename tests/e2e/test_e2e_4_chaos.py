"""The chaos scenario of the command line: a node dies under load, and a verdict is printed."""

import json

from e2e_cluster import TIMONIER, Cluster, measured


def test_kill_node_under_load_ends_with_a_verdict(cluster: Cluster) -> None:
    result = cluster.run(TIMONIER, "chaos", "run", "kill-node-under-load", "-o", "json", timeout_s=240)
    assert result.code in (0, 1), result
    verdict = json.loads(result.out)
    times = ", ".join(f"{m['name']} {m['value']:.1f} s" for m in verdict["measurements"] if m["value"] is not None)
    measured(
        f"{verdict['scenario']}: {times}; {verdict['load']['failed']} of {verdict['load']['sent']} requests failed"
    )
    assert not verdict["problems"], "its bars in seconds are told, not judged, on a shared machine"
    assert all(m["value"] is not None for m in verdict["measurements"]), "everything came to pass"


def test_a_host_that_does_not_exist_is_named_in_the_error(cluster: Cluster) -> None:
    result = cluster.run(TIMONIER, "chaos", "kill", "node-9")
    assert result.code == 2 and "node-9" in result.err
