"""The official Python client, unmodified, against the same cluster."""

from collections.abc import Iterator
from typing import Any

import pytest
from e2e_cluster import Cluster, deployment_manifest, eventually
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

NAMESPACE = "python"


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    """A client in a namespace of its own."""
    api = config.new_client_from_config(config_file=cluster.environment["KUBECONFIG"])
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    yield api
    core.delete_namespace(NAMESPACE)


def test_nodes_satisfy_the_strict_models(api: client.ApiClient) -> None:
    nodes = client.CoreV1Api(api).list_node().items
    assert [node.metadata.name for node in nodes] == ["node-1", "node-2", "node-3"]
    assert all(node.status.node_info.kubelet_version for node in nodes)


def test_create_read_replace_patch_delete(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    created = core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "c"}, "data": {"a": "1"}})
    assert created.metadata.uid and created.metadata.resource_version
    created.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("c", NAMESPACE, created)
    assert int(replaced.metadata.resource_version) > int(created.metadata.resource_version)
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("c", NAMESPACE, created)
    assert conflict.value.status == 409
    patched = core.patch_namespaced_config_map("c", NAMESPACE, {"data": {"b": "3"}})
    assert patched.data == {"a": "2", "b": "3"}
    patched = core.patch_namespaced_config_map("c", NAMESPACE, [{"op": "remove", "path": "/data/a"}])
    assert patched.data == {"b": "3"}
    core.delete_namespaced_config_map("c", NAMESPACE)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("c", NAMESPACE)
    assert missing.value.status == 404


def test_a_watch_from_a_list_sees_every_later_change(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="watched")
    for name in ("w1", "w2"):
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name, "labels": {"watched": "yes"}}})
    core.delete_namespaced_config_map("w1", NAMESPACE)
    watcher, seen = watch.Watch(), []
    version = listed.metadata.resource_version
    arguments: dict[str, Any] = {"label_selector": "watched", "resource_version": version, "timeout_seconds": 30}
    for event in watcher.stream(core.list_namespaced_config_map, NAMESPACE, **arguments):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            watcher.stop()
    assert seen == [("ADDED", "w1"), ("ADDED", "w2"), ("DELETED", "w1")]


def test_a_deployment_runs_and_its_pods_answer(api: client.ApiClient) -> None:
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    apps.create_namespaced_deployment(NAMESPACE, deployment_manifest("py", 2))
    eventually(
        lambda: apps.read_namespaced_deployment_status("py", NAMESPACE).status.ready_replicas == 2, "two are Ready"
    )
    pod = core.list_namespaced_pod(NAMESPACE, label_selector="app=py").items[0].metadata.name
    out = stream(
        core.connect_get_namespaced_pod_exec,
        pod,
        NAMESPACE,
        command=["sh", "-c", "echo $((6 * 7)); hostname"],
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
    )
    assert out.split() == ["42", pod]
    apps.patch_namespaced_deployment_scale("py", NAMESPACE, {"spec": {"replicas": 1}})
    eventually(lambda: len(core.list_namespaced_pod(NAMESPACE, label_selector="app=py").items) == 1, "one pod is left")
    last = core.list_namespaced_pod(NAMESPACE).items[0].metadata.name
    log = core.read_namespaced_pod_log(last, NAMESPACE, _preload_content=False)
    assert log.status == 200 and log.data == b"", "a server that says nothing"


def test_errors_are_status_objects_that_name_the_field(api: client.ApiClient) -> None:
    with pytest.raises(ApiException) as refused:
        client.AppsV1Api(api).create_namespaced_deployment(NAMESPACE, deployment_manifest("Bad_Name", 1))
    assert refused.value.status == 422 and "metadata.name" in refused.value.body
