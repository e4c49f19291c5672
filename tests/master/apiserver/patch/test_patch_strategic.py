"""Strategic merge patch: what kubectl sends, upstream's answers, and properties over keyed lists."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.apps.deployment import Deployment
from master.api.core.pod import Pod
from master.api.core.service import Service
from master.api.status import ApiError, BadRequest
from master.apiserver.patch import strategic


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def names(tree: dict[str, Any], field: str = "containers") -> list[str]:
    return [item["name"] for item in tree["spec"][field]]


A, B, C = ({"name": name, "image": f"{name}:1"} for name in "abc")


def test_set_image_changes_one_container_and_keeps_the_order() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
            "containers": [{"name": "b", "image": "b:2"}],
        }
    }
    tree = pod(A, {**B, "tty": True})
    before = copy.deepcopy(tree)
    assert strategic.apply(tree, patch, Pod)["spec"]["containers"] == [A, {"name": "b", "image": "b:2", "tty": True}]
    assert tree == before


def test_an_element_that_only_the_patch_knows_goes_first_unless_an_order_is_given() -> None:
    assert names(strategic.apply(pod(A, B), {"spec": {"containers": [C]}}, Pod)) == ["c", "a", "b"]
    ordered = {
        "spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "containers": [C]}
    }
    assert names(strategic.apply(pod(A, B), ordered, Pod)) == ["a", "b", "c"]


def test_an_order_alone_reorders() -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert names(strategic.apply(pod(A, B), patch, Pod)) == ["b", "a"]


def test_elements_are_deleted_and_lists_replaced_by_directives() -> None:
    deleted = strategic.apply(pod(A, B), {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}, Pod)
    assert deleted["spec"]["containers"] == [B]
    replaced = strategic.apply(pod(A, B), {"spec": {"containers": [C, {"$patch": "replace"}]}}, Pod)
    assert replaced["spec"]["containers"] == [C]


def test_objects_are_replaced_and_emptied_by_directives() -> None:
    tree = pod(A, nodeSelector={"x": "1", "y": "2"})
    assert strategic.apply(tree, {"spec": {"nodeSelector": {"$patch": "replace", "z": "3"}}}, Pod)["spec"][
        "nodeSelector"
    ] == {"z": "3"}
    assert strategic.apply(tree, {"spec": {"nodeSelector": {"$patch": "delete"}}}, Pod)["spec"]["nodeSelector"] == {}


def test_a_changed_volume_source_retains_only_its_own_keys() -> None:
    tree = pod(A, volumes=[{"name": "v", "emptyDir": {}}])
    patch = {"spec": {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]}}
    assert strategic.apply(tree, patch, Pod)["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


def test_a_strategy_change_of_a_deployment_retains_only_the_type() -> None:
    tree = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(tree, patch, Deployment) == {"spec": {"strategy": {"type": "Recreate"}}}
    with pytest.raises(BadRequest):
        strategic.apply(tree, {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}, Deployment)


def test_scalars_merge_as_sets_where_the_api_says_so() -> None:
    tree = {"metadata": {"finalizers": ["a/x", "b/y"]}, "spec": {"containers": [{"name": "a", "args": ["1"]}]}}
    merged = strategic.apply(
        tree, {"metadata": {"finalizers": ["c/z"]}, "spec": {"containers": [{"name": "a", "args": ["2"]}]}}, Pod
    )
    assert sorted(merged["metadata"]["finalizers"]) == ["a/x", "b/y", "c/z"]
    assert merged["spec"]["containers"][0]["args"] == ["2"]
    gone = strategic.apply(tree, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"]}}, Pod)
    assert gone["metadata"]["finalizers"] == ["b/y"]


def test_lists_without_a_merge_key_are_replaced() -> None:
    tree = pod(A, tolerations=[{"key": "x"}])
    assert strategic.apply(tree, {"spec": {"tolerations": [{"key": "y"}]}}, Pod)["spec"]["tolerations"] == [
        {"key": "y"}
    ]


def test_null_deletes_and_annotations_merge() -> None:
    tree = {"metadata": {"annotations": {"a": "1", "b": "2"}}}
    assert strategic.apply(tree, {"metadata": {"annotations": {"a": None, "c": "3"}}}, Pod) == {
        "metadata": {"annotations": {"b": "2", "c": "3"}}
    }
    assert strategic.apply(tree, {"metadata": {"annotations": None}}, Pod) == {"metadata": {}}


def test_nulls_in_what_is_new_are_dropped() -> None:
    assert strategic.apply({}, {"spec": {"containers": [{"name": "a", "image": None}]}}, Pod) == {
        "spec": {"containers": [{"name": "a"}]}
    }


def test_service_ports_merge_by_port_and_twins_survive() -> None:
    tree = {
        "spec": {
            "ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53, "protocol": "TCP", "name": "tcp"}]
        }
    }
    merged = strategic.apply(tree, {"spec": {"ports": [{"port": 53, "name": "dns", "targetPort": 5353}]}}, Service)
    assert {"port": 53, "protocol": "TCP", "name": "tcp"} in merged["spec"]["ports"]
    assert {"port": 53, "protocol": "UDP", "name": "dns", "targetPort": 5353} in merged["spec"]["ports"]


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"$patch": "foo"}}, "unknown patch type: foo in map: map[$patch:foo]"),
        (
            {"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}},
            "map: map[image:x] does not contain declared merge key: name",
        ),
    ],
)
def test_bad_patches_fail_in_upstream_words(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        strategic.apply({"spec": {"template": {"spec": {"containers": [A]}}}}, patch, Deployment)
    assert (caught.value.code, caught.value.reason, caught.value.message) == (500, "", message)


NAMED = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6).map(
    lambda found: [{"name": name, "image": f"{name}:1"} for name in found]
)


@given(NAMED, NAMED)
def test_a_merge_keeps_every_element_once(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    merged = names(strategic.apply(pod(*old), {"spec": {"containers": new}}, Pod))
    assert sorted(merged) == sorted({item["name"] for item in old + new})


@given(NAMED, NAMED)
def test_the_servers_own_elements_keep_their_order(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    merged = names(strategic.apply(pod(*old), {"spec": {"containers": new}}, Pod))
    patched = {item["name"] for item in new}
    own = [item["name"] for item in old if item["name"] not in patched]
    assert [name for name in merged if name not in patched] == own
    assert [name for name in merged if name in patched] == [item["name"] for item in new]


@given(NAMED, NAMED)
def test_a_strategic_patch_applied_twice_does_no_more_than_once(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    order = [{"name": item["name"]} for item in new]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": new}}
    once = strategic.apply(pod(*old), patch, Pod)
    assert strategic.apply(once, patch, Pod) == once


@given(NAMED, NAMED)
def test_the_patch_of_client_side_apply_reaches_the_wanted_list(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    """kubectl's three-way patch: changed elements, deletions, and the wanted order."""
    wanted = {item["name"] for item in new}
    deletions = [{"name": item["name"], "$patch": "delete"} for item in old if item["name"] not in wanted]
    order = [{"name": item["name"]} for item in new]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": new + deletions}}
    assert strategic.apply(pod(*old), patch, Pod)["spec"]["containers"] == new


RECORDED = json.loads((Path(__file__).parent / "data" / "strategic_patches_by_kubectl.json").read_text())


def without_empties(tree: Any) -> Any:
    """Typed printing drops empty values, and leaves directives in elements that are new; neither is of interest."""
    if isinstance(tree, dict):
        return {
            key: without_empties(value)
            for key, value in tree.items()
            if value not in ({}, [], None) and not key.startswith("$")
        }
    return [without_empties(item) for item in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: str(RECORDED.index(case)))
def test_random_patches_give_what_kubectl_patch_local_gave(case: dict[str, Any]) -> None:
    """Recorded from kubectl 1.33, whose `patch --local` runs upstream's own merge."""
    assert without_empties(strategic.apply(case["tree"], case["patch"], Pod)) == case["result"]
