"""The other kinds: validation, updates, rows; and facts that hold for every kind of the scheme."""

import json
from typing import Any

import msgspec
import pytest

from master.api.decode import decode
from master.api.meta import ListMeta, ObjectMeta
from master.api.resource import ResourceInfo
from master.api.scheme import SCHEME
from master.api.tables import bookmark_table, build_table, partial_metadata, table_row

Tree = dict[str, Any]
STORED = [info for info in SCHEME.all() if "list" in info.verbs]


def info(plural: str, group: str = "") -> ResourceInfo:
    found = SCHEME.by_resource(group, "v1", plural)
    assert found is not None
    return found


DEPLOYMENTS, SERVICES, SECRETS = info("deployments", "apps"), info("services"), info("secrets")
CONFIGS, NODES, SLICES = info("configmaps"), info("nodes"), info("endpointslices", "discovery.k8s.io")


def made(of: ResourceInfo, **parts: Any) -> Any:
    namespace = {"namespace": "default"} if of.namespaced else {}
    body = {**parts, "metadata": {"name": "x", **namespace, **parts.get("metadata", {})}}
    decoded = decode(of, json.dumps(body).encode())
    assert decoded.findings == []
    return of.default(decoded.object)


def faults(of: ResourceInfo, **parts: Any) -> list[str]:
    return [str(error) for error in of.validate(made(of, **parts))]


def update_faults(of: ResourceInfo, new: Any, old: Any) -> list[str]:
    return [str(error) for error in of.validate_update(new, old)]


TEMPLATE: Tree = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def deployment(**spec: Any) -> Tree:
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE, **spec}}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            {"selector": None},
            [
                "spec.selector: Required value",
                'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
            ],
        ),
        ({"selector": {}}, ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]),
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"strategy": {"type": "Magic"}},
            ['spec.strategy.type: Unsupported value: "Magic": supported values: "Recreate", "RollingUpdate"'],
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
        ),
        (
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
        (
            {"template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
    ],
)
def test_faults_of_deployments(spec: Tree, found: list[str]) -> None:
    assert faults(DEPLOYMENTS, **deployment(**spec)) == found


def test_the_selector_of_a_deployment_is_immutable() -> None:
    old = made(DEPLOYMENTS, **deployment())
    both = {"metadata": {"labels": {"a": "b", "c": "d"}}, "spec": TEMPLATE["spec"]}
    new = made(DEPLOYMENTS, **deployment(selector={"matchLabels": {"c": "d"}}, template=both))
    assert update_faults(DEPLOYMENTS, new, old) == [
        'spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable'
    ]


def test_a_status_write_of_a_deployment_keeps_spec_and_labels() -> None:
    old = made(DEPLOYMENTS, **deployment(), metadata={"labels": {"k": "old"}})
    new = made(DEPLOYMENTS, **deployment(replicas=9), metadata={"labels": {"k": "new"}}, status={"replicas": 3})
    DEPLOYMENTS.strategy.prepare_status_update(new, old)
    assert (new.spec.replicas, new.metadata.labels, new.status.replicas) == (1, {"k": "old"}, 3)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            {"type": "Magic", "ports": [{"port": 1}]},
            [
                (
                    'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", '
                    '"LoadBalancer", "NodePort"'
                )
            ],
        ),
        ({"clusterIP": "None"}, []),
        (
            {"clusterIP": "x", "ports": [{"port": 1}]},
            ['spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
        ),
        ({"type": "ExternalName"}, ["spec.externalName: Required value"]),
        ({"type": "ExternalName", "externalName": "a.b."}, []),
        (
            {"ports": [{"port": 1, "nodePort": 30000}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}, ['spec.ports[1].name: Duplicate value: "a"']),
        (
            {"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
            [
                (
                    "spec.ports[1]: Duplicate value: "
                    '{"AppProtocol":null,"Name":"","NodePort":0,"Port":1,"Protocol":"TCP","TargetPort":0}'
                )
            ],
        ),
        (
            {"ports": [{"port": 1}], "sessionAffinity": "X"},
            ['spec.sessionAffinity: Unsupported value: "X": supported values: "ClientIP", "None"'],
        ),
        (
            {"ports": [{"port": 1}], "externalTrafficPolicy": "Local"},
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
        ),
        (
            {"ports": [{"port": 1}], "externalIPs": ["x"]},
            ['spec.externalIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
        ),
    ],
)
def test_faults_of_services(spec: Tree, found: list[str]) -> None:
    assert faults(SERVICES, spec=spec) == found


def test_service_names_begin_with_a_letter() -> None:
    assert faults(SERVICES, metadata={"name": "1a"}, spec={"ports": [{"port": 1}]})[0].startswith(
        'metadata.name: Invalid value: "1a": a DNS-1035 label must consist of'
    )


def test_a_service_keeps_what_was_allocated() -> None:
    old = made(SERVICES, spec={"type": "NodePort", "clusterIP": "10.0.0.9", "ports": [{"port": 80, "nodePort": 30080}]})
    replaced = made(SERVICES, spec={"type": "NodePort", "ports": [{"port": 80, "targetPort": 8080}]})
    SERVICES.strategy.prepare_update(replaced, old)
    assert (replaced.spec.cluster_ip, replaced.spec.cluster_ips) == ("10.0.0.9", ["10.0.0.9"])
    assert replaced.spec.ports[0].node_port == 30080
    internal = made(SERVICES, spec={"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30080}]})
    SERVICES.strategy.prepare_update(internal, old)
    assert internal.spec.ports[0].node_port == 0
    assert update_faults(SERVICES, internal, old) == []


def test_the_address_of_a_service_is_immutable() -> None:
    old = made(SERVICES, spec={"clusterIP": "10.0.0.9", "ports": [{"port": 80}]})
    new = made(SERVICES, spec={"clusterIP": "10.0.0.8", "clusterIPs": ["10.0.0.9"], "ports": [{"port": 80}]})
    SERVICES.strategy.prepare_update(new, old)
    assert update_faults(SERVICES, new, old) == [
        'spec.clusterIPs[0]: Invalid value: ["10.0.0.8"]: may not change once set'
    ]


def test_secrets_take_text_and_keep_their_type() -> None:
    secret = made(SECRETS, stringData={"a": "b"}, data={"a": "eA==", "c": "eA=="})
    assert secret.data == {"a": "Yg==", "c": "eA=="}
    assert b"stringData" not in SECRETS.encode(secret)
    assert faults(SECRETS, type="kubernetes.io/tls", data={"tls.crt": ""}) == ["data[tls.key]: Required value"]
    docker = faults(SECRETS, type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": "eA=="})
    assert "<secret contents redacted>" in docker[0]
    assert update_faults(SECRETS, made(SECRETS, type="a"), made(SECRETS, type="b")) == [
        'type: Invalid value: "a": field is immutable'
    ]


def test_immutable_data_stays() -> None:
    old = made(CONFIGS, data={"a": "b"}, immutable=True)
    words = "field is immutable when `immutable` is set"
    assert update_faults(CONFIGS, made(CONFIGS, data={"a": "c"}), old) == [
        f"immutable: Forbidden: {words}",
        f"data: Forbidden: {words}",
    ]
    assert faults(CONFIGS, data={"a": "x" * (1024 * 1024 + 1)}) == [": Too long: may not be more than 1048576 bytes"]


def test_finalizers_cannot_come_while_an_object_goes() -> None:
    old = made(CONFIGS, metadata={"finalizers": ["x/y"], "deletionTimestamp": "1970-01-01T00:00:00Z"})
    new = made(CONFIGS, metadata={"finalizers": ["x/y", "a/b"], "deletionTimestamp": "1970-01-01T00:00:00Z"})
    assert update_faults(CONFIGS, new, old) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"a/b"}'
    ]


def test_nodes() -> None:
    assert faults(NODES, spec={"taints": [{"key": "a", "effect": "X"}]}) == [
        'spec.taints[0].effect: Unsupported value: "X": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'
    ]
    node = made(
        NODES,
        metadata={"labels": {"node-role.kubernetes.io/control-plane": ""}},
        spec={"unschedulable": True, "podCIDR": "10.91.1.0/24"},
        status={
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.90.0.11"}],
            "capacity": {"cpu": "2"},
            "nodeInfo": {"kubeletVersion": "v1.36.0", "kernelVersion": "6.1"},
        },
    )
    assert (node.spec.pod_cidrs, node.status.allocatable) == (["10.91.1.0/24"], {"cpu": "2"})
    row = NODES.cells(node, 0.0)
    assert row[:7] == [
        "x",
        "Ready,SchedulingDisabled",
        "control-plane",
        "<unknown>",
        "v1.36.0",
        "10.90.0.11",
        "<none>",
    ]
    NODES.strategy.prepare_create(node)
    assert node.status.capacity == {"cpu": "2"}


def test_endpoint_slices() -> None:
    endpoints = [{"addresses": ["10.1.1.1"]}, {"addresses": ["127.0.0.1"]}, {"addresses": []}]
    assert faults(SLICES, addressType="IPv4", endpoints=endpoints, ports=[{"port": 80}, {"port": 81}]) == [
        (
            'endpoints[1].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range '
            "(127.0.0.0/8, ::1/128)"
        ),
        "endpoints[2].addresses: Required value: must contain at least 1 address",
        'ports[1].name: Duplicate value: ""',
    ]
    shown = made(SLICES, addressType="IPv4", endpoints=[{"addresses": [f"10.1.1.{n}"]} for n in range(5)])
    assert SLICES.cells(shown, 0.0)[2:4] == ["<unset>", "10.1.1.0,10.1.1.1,10.1.1.2 + 2 more..."]


def test_namespaces_get_label_finalizer_and_phase() -> None:
    namespaces = info("namespaces")
    namespace = made(namespaces)
    namespaces.strategy.prepare_create(namespace)
    assert namespace.metadata.labels == {"kubernetes.io/metadata.name": "x"}
    assert (namespace.spec.finalizers, namespace.status.phase) == (["kubernetes"], "Active")
    assert "RFC 1123 label" in faults(namespaces, metadata={"name": "a.b"})[0]


def test_leases_and_scales_and_bindings() -> None:
    leases = info("leases", "coordination.k8s.io")
    assert faults(leases, spec={"leaseDurationSeconds": 0}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
    ]
    assert leases.strategy.must_set_version
    scales = SCHEME.by_kind("autoscaling", "v1", "Scale")
    assert scales is not None
    assert faults(scales, spec={"replicas": -1}) == [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    ]
    assert faults(info("bindings"), target={"kind": "Pod"}) == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]


@pytest.mark.parametrize("of", STORED, ids=lambda of: of.qualified)
def test_every_kind_shows_as_many_cells_as_columns_and_names_its_object(of: ResourceInfo) -> None:
    obj = of.default(of.struct(metadata=ObjectMeta(name="x", namespace="default")))
    cells = of.cells(obj, 0.0)
    assert len(cells) == len(of.columns)
    position = next(index for index, column in enumerate(of.columns) if column.format == "name")
    assert cells[position] == "x"
    assert set(of.fields(json.loads(of.encode(obj)))) == set(of.selectable)
    of.validate(obj)


@pytest.mark.parametrize("of", STORED, ids=lambda of: of.qualified)
def test_every_kind_survives_its_own_encoding(of: ResourceInfo) -> None:
    obj = of.default(of.struct(metadata=ObjectMeta(name="x")))
    body = of.encode(obj)
    assert body.startswith(b'{"apiVersion":"%s","kind":"%s",' % (of.api_version.encode(), of.kind.encode()))
    assert of.encode(of.decode(body)) == body
    assert (obj.kind, obj.api_version) == ("", "")


def test_looking_up() -> None:
    assert DEPLOYMENTS.path("ns", "web", "scale") == "/apis/apps/v1/namespaces/ns/deployments/web/scale"
    assert DEPLOYMENTS.path() == "/apis/apps/v1/deployments"
    assert NODES.path("ignored", "n") == "/api/v1/nodes/n"
    assert SCHEME.by_resource("", "v1", "foos") is None
    assert SCHEME.by_kind("", "v1", "Foo") is None
    assert SCHEME.by_struct(DEPLOYMENTS.struct) is DEPLOYMENTS
    assert DEPLOYMENTS.subresources["scale"] == ("autoscaling", "v1", "Scale", ("get", "patch", "update"))


def test_tables() -> None:
    row = table_row(CONFIGS, made(CONFIGS, data={"a": "b"}), 0.0, partial_metadata(b'{"name":"x"}'))
    tree = json.loads(msgspec.json.encode(build_table(CONFIGS, [row], ListMeta(resource_version="7"))))
    assert (tree["kind"], tree["apiVersion"], tree["metadata"]) == ("Table", "meta.k8s.io/v1", {"resourceVersion": "7"})
    assert [column["name"] for column in tree["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert tree["rows"][0]["cells"] == ["x", "1", "<unknown>"]
    shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "x"}}
    assert tree["rows"][0]["object"] == shown
    bookmark = json.loads(msgspec.json.encode(bookmark_table("7", None, "v1beta1")))
    assert bookmark["columnDefinitions"] is None and bookmark["apiVersion"] == "meta.k8s.io/v1beta1"
    assert bookmark["rows"] == [{"cells": ["", "<unknown>"]}]
    finished = table_row(info("pods"), made(info("pods"), status={"phase": "Failed"}), 0.0, None)
    assert finished.conditions[0]["reason"] == "Failed"
