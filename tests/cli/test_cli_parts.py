"""The command's pure parts: JSONPath, the three-way patch, targets, manifests, channels, words of errors."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import channels, jsonpath
from cli.channels import Channel, Outcome
from cli.errors import CommandError, explain
from cli.kubeconfig import find_kubeconfig, read_login
from cli.logs import query, seconds_of
from cli.manifests import parse_manifests, read_manifests
from cli.metadata import split_words
from cli.output import TableView
from cli.resources import Catalogue, Resource, parse_targets
from cli.rollout import progress
from cli.threeway import struct_of, three_way_patch
from cli.workloads import container_of, selector_text
from master.api.meta import Status
from master.api.status import ApiError
from master.apiserver.patch import strategic

PODS = Resource(group="", version="v1", plural="pods", singular="pod", kind="Pod", namespaced=True, short_names=["po"])
DEPLOYMENTS = Resource(
    group="apps",
    version="v1",
    plural="deployments",
    singular="deployment",
    kind="Deployment",
    namespaced=True,
    short_names=["deploy"],
    categories=["all"],
)
CATALOGUE = Catalogue([PODS, DEPLOYMENTS])
TREE = {
    "metadata": {"name": "web", "labels": {"app.kubernetes.io/name": "x"}},
    "items": [{"name": "a", "n": 1, "on": True}, {"name": "b", "n": 2}],
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.metadata.name}", "web"),
        (".metadata.name", "web"),
        ("{.items[*].name}", "a b"),
        ("{.items[1].name}/{.items[-1].n}", "b/2"),
        ("{.items[0:1].name}", "a"),
        ('{range .items[*]}{.name}{"\\n"}{end}', "a\nb\n"),
        ('{.items[?(@.name=="b")].n}', "2"),
        ("{.items[?(@.n>1)].name}", "b"),
        ("{.items[?(@.on)].name}", "a"),
        ("{.metadata.labels.app\\.kubernetes\\.io/name}", "x"),
        ("{.metadata.labels['app.kubernetes.io/name']}", "x"),
        ("{.nothing.here}", ""),
        ("{.items[0]}", '{"name":"a","n":1,"on":true}'),
        ("{range .nothing[*]}{.x}{end}!", "!"),
    ],
)
def test_jsonpath(template: str, expected: str) -> None:
    assert jsonpath.render(template, TREE) == expected


@pytest.mark.parametrize("template", ["{.items[", "{range .items[*]}{.name}", "{end}", "{.items[x]}"])
def test_broken_jsonpath_is_refused(template: str) -> None:
    with pytest.raises(CommandError, match="jsonpath"):
        jsonpath.render(template, TREE)


NAMES = st.sampled_from("abc")
ENV = st.lists(st.tuples(NAMES, st.sampled_from("12")), unique_by=lambda pair: pair[0], max_size=3)
CONTAINERS = st.dictionaries(NAMES, st.tuples(st.sampled_from(["i:1", "i:2"]), ENV), min_size=1, max_size=3)
MANIFESTS = st.builds(
    lambda containers, labels, finalizers, selector: {
        "metadata": {
            "name": "p",
            **({"labels": labels} if labels else {}),
            **({"finalizers": sorted(finalizers)} if finalizers else {}),
        },
        "spec": {
            "containers": [
                {"name": name, "image": image, "env": [{"name": key, "value": value} for key, value in env]}
                for name, (image, env) in containers.items()
            ],
            **({"nodeSelector": selector} if selector else {}),
        },
    },
    CONTAINERS,
    st.dictionaries(NAMES, st.sampled_from("12"), max_size=2),
    st.sets(st.sampled_from(["x/a", "x/b"])),
    st.dictionaries(NAMES, st.sampled_from("12"), max_size=2),
)


@given(MANIFESTS, MANIFESTS)
def test_applying_one_manifest_after_another_gives_the_second_and_keeps_what_others_wrote(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    struct = struct_of("v1", "Pod")
    assert struct is not None
    live = msgspec.convert(msgspec.to_builtins(before), dict)
    live["metadata"] = {
        **live["metadata"],
        "uid": "u",
        "labels": {**live["metadata"].get("labels", {}), "other": "kept"},
    }
    sidecar = {"name": "injected", "image": "s"}
    live["spec"] = {**live["spec"], "containers": [*live["spec"]["containers"], sidecar], "nodeName": "n1"}
    patch = three_way_patch(before, after, live, struct)
    result = strategic.apply(live, patch, struct)
    assert result["metadata"]["uid"] == "u"
    assert result["spec"]["nodeName"] == "n1"
    assert result["metadata"]["labels"] == {**after["metadata"].get("labels", {}), "other": "kept"}
    containers = {each["name"]: each for each in result["spec"]["containers"]}
    assert containers.pop("injected") == sidecar
    wanted = {each["name"]: each for each in after["spec"]["containers"]}
    assert containers.keys() == wanted.keys()
    for name, container in containers.items():
        assert container["image"] == wanted[name]["image"]
        assert sorted(map(str, container.get("env", []))) == sorted(map(str, wanted[name]["env"]))
    assert result["spec"].get("nodeSelector", {}) == after["spec"].get("nodeSelector", {})
    assert set(result["metadata"].get("finalizers", [])) == set(after["metadata"].get("finalizers", []))
    assert three_way_patch(after, after, result, struct) == {}


def test_a_strategy_that_is_replaced_drops_the_other_ones_fields() -> None:
    struct = struct_of("apps/v1", "Deployment")
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = three_way_patch({}, {"spec": {"strategy": {"type": "Recreate"}}}, live, struct)
    assert strategic.apply(live, patch, struct)["spec"]["strategy"] == {"type": "Recreate"}  # type: ignore[arg-type]


def test_an_unknown_kind_gets_a_plain_merge_patch() -> None:
    assert struct_of("example.com/v1", "Thing") is None
    patch = three_way_patch(
        {"spec": {"a": 1, "b": 2}}, {"spec": {"a": 1, "list": [1]}}, {"spec": {"a": 1, "b": 2}}, None
    )
    assert patch == {"spec": {"list": [1], "b": None}}


def test_targets_in_all_their_forms() -> None:
    def shown(*words: str) -> list[str]:
        return [f"{each.resource.plural}/{each.name}" for each in parse_targets(words, CATALOGUE)]

    assert shown("pods") == ["pods/"]
    assert shown("po", "a", "b") == ["pods/a", "pods/b"]
    assert shown("pod/a", "deploy/b") == ["pods/a", "deployments/b"]
    assert shown("pods,deployments.apps") == ["pods/", "deployments/"]
    assert shown("Deployment") == ["deployments/"]
    assert shown("all") == ["deployments/"]
    for words in (["nosuch"], ["pod/a", "b"], ["pod/a/b"], [], ["pods.apps"]):
        with pytest.raises(CommandError):
            shown(*words)


def test_manifests_of_several_documents_lists_and_json() -> None:
    first = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: x}}\n"
    text = first + '---\n{"apiVersion":"v1","kind":"B"}\n---\n'
    assert [each.tree["kind"] for each in parse_manifests(text, "f")] == ["A", "B"]
    dated = next(iter(parse_manifests("apiVersion: v1\nkind: A\ndata: {day: 2026-01-02}", "f")))
    assert dated.tree["data"] == {"day": "2026-01-02"}


@pytest.mark.parametrize(
    "text", ["a: [", "kind: A", "apiVersion: v1", "- 1", "apiVersion: v1\nkind: A\nkind: B", "!!python/object:os.x {}"]
)
def test_broken_manifests_are_refused(text: str) -> None:
    with pytest.raises(CommandError):
        list(parse_manifests(text, "f"))


def test_folders_are_read_in_order_and_deeper_only_on_demand(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.yaml", "a.yml", "sub/c.json", "note.txt"):
        (tmp_path / name).write_text(json.dumps({"apiVersion": "v1", "kind": name}))
    assert [each.tree["kind"] for each in read_manifests([str(tmp_path)])] == ["a.yml", "b.yaml"]
    assert len(read_manifests([str(tmp_path)], recursive=True)) == 3


def test_channels_carry_streams_and_the_exit_code() -> None:
    assert channels.decode(channels.encode(Channel.STDOUT, b"hi")) == (1, b"hi")
    assert channels.close_stdin() == b"\xff\x00"
    assert channels.resize(80, 24) == b'\x04{"Width": 80, "Height": 24}'
    assert channels.outcome(b'{"metadata":{},"status":"Success"}') == Outcome(0)
    failed = {
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code: 3",
    }
    failed["details"] = {"causes": [{"reason": "ExitCode", "message": "3"}]}  # type: ignore[assignment]
    assert channels.outcome(json.dumps(failed).encode()).exit_code == 3
    assert channels.outcome(b"no such container").exit_code == 1


def test_errors_are_worded_as_by_kubectl() -> None:
    def status(**parts: Any) -> ApiError:
        return ApiError.from_status(msgspec.convert({"kind": "Status", **parts}, Status))

    assert explain(status(code=401, reason="Unauthorized")).startswith("error: You must be logged in")
    causes = [{"field": "spec.a", "message": "Required value"}, {"field": "spec.b", "message": "Forbidden: no"}]
    details = {"name": "x", "kind": "Pod", "causes": causes}
    several = explain(status(code=422, reason="Invalid", message="…", details=details))
    assert several == 'The Pod "x" is invalid: \n* spec.a: Required value\n* spec.b: Forbidden: no'


def test_a_kubeconfig_with_data_and_its_places(tmp_path: Path) -> None:
    tree = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://h:1", "certificate-authority-data": "Q0E="}}],
        "users": [{"name": "u", "user": {"client-certificate-data": "Q1JU", "client-key-data": "S0VZ"}}],
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(tree))
    login = read_login(file)
    assert (login.server, login.namespace, login.ca, login.key) == ("https://h:1", "ns", b"CA", b"KEY")
    config = login.client_config(tmp_path)
    assert Path(config.key_file).stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="no context 'b'"):
        read_login(file, "b")
    assert find_kubeconfig("", {"KUBECONFIG": f"/nonexistent:{file}"}) == file
    assert find_kubeconfig("/x", {}) == Path("/x")
    with pytest.raises(CommandError, match="no kubeconfig"):
        find_kubeconfig("", {"HOME": "/nonexistent", "TIMONIER_CLUSTER": "nonexistent"})


def test_words_of_label_and_annotate() -> None:
    assert split_words(["pod", "web", "a=b", "c-"]) == (["pod", "web"], {"a": "b", "c": None})
    assert split_words(["pod/web", "a="]) == (["pod/web"], {"a": ""})
    for words in (["pod", "web"], ["pod", "a=b", "web"]):
        with pytest.raises(CommandError):
            split_words(words)


def test_tables_hide_wide_columns_and_keep_watch_rows_in_line() -> None:
    definitions = [{"name": "Name", "priority": 0}, {"name": "IP", "priority": 1}]
    first = {"kind": "Table", "columnDefinitions": definitions, "rows": [{"cells": ["long-name", "1.2.3.4"]}]}
    later = {"kind": "Table", "columnDefinitions": None, "rows": [{"cells": ["x", None]}]}
    narrow, wide = TableView(), TableView(wide=True)
    assert narrow.lines(first) == ["NAME", "long-name"]
    assert narrow.lines(later) == ["x"]
    assert wide.lines(first) == ["NAME        IP", "long-name   1.2.3.4"]
    assert wide.lines(later) == ["x           <none>"]


def test_rollout_progress_in_its_order() -> None:
    def told(**status: Any) -> tuple[str, bool]:
        return progress({"metadata": {"name": "d", "generation": 2}, "spec": {"replicas": 2}, "status": status})

    assert told(observedGeneration=1) == ("Waiting for deployment spec update to be observed...", False)
    assert "1 out of 2 new replicas" in told(observedGeneration=2, updatedReplicas=1)[0]
    assert "1 old replicas are pending" in told(observedGeneration=2, updatedReplicas=2, replicas=3)[0]
    assert told(observedGeneration=2, updatedReplicas=2, replicas=2, availableReplicas=2)[1]
    late = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
    with pytest.raises(CommandError, match="progress deadline"):
        told(observedGeneration=2, conditions=late)


def test_log_options_and_containers() -> None:
    assert query(follow=True, previous=False, tail=5, since="1h30m", timestamps=False) == {
        "follow": "true",
        "tailLines": "5",
        "sinceSeconds": "5400",
    }
    with pytest.raises(CommandError):
        seconds_of("soon")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    assert container_of(pod, "") == "a"
    assert container_of(pod, "b") == "b"
    with pytest.raises(CommandError, match="not valid for pod p"):
        container_of(pod, "c")


def test_selectors_as_text() -> None:
    expressions = [{"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]
    assert selector_text({"matchLabels": {"app": "x"}, "matchExpressions": expressions}) == "app=x,tier in (a,b),!old"
    assert selector_text({"app": "x"}) == "app=x"
    assert selector_text(None) == ""
