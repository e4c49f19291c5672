"""Pods: defaults beyond the golden ones, validation in Kubernetes' words, updates, quality of service, table rows."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from master.api.core.pod import Pod
from master.api.core.podspec_defaults import pull_policy
from master.api.decode import decode
from master.api.resource import Column
from master.api.scheme import SCHEME

INFO = SCHEME.by_struct(Pod)
Tree = dict[str, Any]


def pod(spec: Tree | None = None, container: Tree | None = None, **parts: Any) -> Pod:
    body = {
        "metadata": {"name": "p", "namespace": "default", **parts.pop("metadata", {})},
        "spec": {"containers": [{"name": "c", "image": "img:1", **(container or {})}], **(spec or {})},
        **parts,
    }
    decoded = decode(INFO, json.dumps(body).encode())
    assert decoded.findings == []
    obj = INFO.default(decoded.object)
    assert isinstance(obj, Pod)
    return obj


def faults(obj: Pod) -> list[str]:
    return [str(error) for error in INFO.validate(obj)]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("host:5000/a:1", "IfNotPresent"),
        ("a:latest@sha256:0", "IfNotPresent"),
    ],
)
def test_images_that_may_change_are_always_pulled(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_a_service_account_is_shown_under_both_names() -> None:
    spec = pod({"serviceAccount": "robot"}).spec
    assert (spec.service_account_name, spec.service_account) == ("robot", "robot")


@pytest.mark.parametrize(
    ("container", "fault"),
    [
        (
            {"image": " x"},
            'spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace',
        ),
        (
            {"imagePullPolicy": "Now"},
            (
                'spec.containers[0].imagePullPolicy: Unsupported value: "Now": supported values: '
                '"Always", "IfNotPresent", "Never"'
            ),
        ),
        ({"ports": [{"containerPort": 0}]}, "spec.containers[0].ports[0].containerPort: Required value"),
        (
            {"ports": [{"containerPort": 1, "protocol": "X"}]},
            'spec.containers[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        ),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            'spec.containers[0].ports[1].name: Duplicate value: "a"',
        ),
        (
            {"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
            'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//9"',
        ),
        ({"env": [{"name": ""}]}, "spec.containers[0].env[0].name: Required value"),
        (
            {"env": [{"name": "a=b"}]},
            (
                'spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable '
                "name must consist only of printable ASCII characters other than '='"
            ),
        ),
        (
            {"env": [{"name": "a", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
        ),
        (
            {"env": [{"name": "a", "valueFrom": {}}]},
            (
                'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: '
                "`configMapKeyRef`, `fieldRef`, `fileKeyRef`, `resourceFieldRef` or `secretKeyRef`"
            ),
        ),
        (
            {"env": [{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s"}}}]},
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            {"envFrom": [{}]},
            'spec.containers[0].envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
        ),
        (
            {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"resources": {"requests": {"cpu": "-1"}}},
            'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        ),
        ({"livenessProbe": {}}, "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        (
            {"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}},
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            {"readinessProbe": {"httpGet": {"port": "UP"}}},
            (
                'spec.containers[0].readinessProbe.httpGet.port: Invalid value: "UP": must contain only '
                "alpha-numeric characters (a-z, 0-9), and hyphens (-)"
            ),
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../x"}]},
            "spec.containers[0].volumeMounts[0].subPath: Invalid value: \"../x\": must not contain '..'",
        ),
    ],
)
def test_faults_of_containers(container: Tree, fault: str) -> None:
    found = faults(pod({"volumes": [{"name": "v"}]}, container))
    assert fault in found
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, ['spec.volumes[1].name: Duplicate value: "v"']),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
            ["spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type"],
        ),
        ({"volumes": [{"name": "v", "hostPath": {"path": ""}}]}, ["spec.volumes[0].hostPath.path: Required value"]),
        ({"volumes": [{"name": "v", "secret": {}}]}, ["spec.volumes[0].secret.secretName: Required value"]),
        (
            {"volumes": [{"name": "v", "configMap": {"name": "x", "items": [{"key": "k", "path": "/a"}]}}]},
            ['spec.volumes[0].configMap.items[0].path: Invalid value: "/a": must be a relative path'],
        ),
        (
            {"dnsPolicy": "None"},
            ["spec.dnsConfig: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"],
        ),
        ({"nodeName": "A"}, None),
        (
            {"activeDeadlineSeconds": 0},
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            {"tolerations": [{"operator": "Equal"}]},
            [
                (
                    'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` '
                    'is empty, which means "match all values and all keys"'
                )
            ],
        ),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 3}]},
            [
                (
                    "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' "
                    "when `tolerationSeconds` is set"
                )
            ],
        ),
        (
            {
                "affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
                }
            },
            [
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                    "nodeSelectorTerms: Required value: must have at least one node selector term"
                )
            ],
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
            ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
        ),
        ({"initContainers": [{"name": "c", "image": "x"}]}, ['spec.initContainers[0].name: Duplicate value: "c"']),
        (
            {"initContainers": [{"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["x"]}}}]},
            [
                (
                    "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers "
                    "without restartPolicy=Always"
                )
            ],
        ),
        (
            {
                "initContainers": [
                    {
                        "name": "i",
                        "image": "x",
                        "restartPolicy": "Always",
                        "livenessProbe": {"exec": {"command": ["x"]}},
                    }
                ]
            },
            [],
        ),
        (
            {"ephemeralContainers": [{"name": "e", "image": "x"}]},
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            {"securityContext": {"runAsUser": -1}},
            ["spec.securityContext.runAsUser: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)
def test_faults_of_specs(spec: Tree, found: list[str] | None) -> None:
    if found is None:
        assert faults(pod(spec))
    else:
        assert faults(pod(spec)) == found


def changed(change: Callable[[Pod], None], **parts: Any) -> list[str]:
    old, new = pod(**parts), pod(**parts)
    change(new)
    return [str(error) for error in INFO.validate_update(new, old)]


def set_image(new: Pod) -> None:
    new.spec.containers[0].image = "img:2"


def set_node(new: Pod) -> None:
    new.spec.node_name = "elsewhere"


def more_deadline(new: Pod) -> None:
    new.spec.active_deadline_seconds = 9


def drop_tolerations(new: Pod) -> None:
    new.spec.tolerations = []


def rename(new: Pod) -> None:
    new.metadata.name = "q"


def test_images_may_change_and_little_else() -> None:
    assert changed(set_image) == []
    fault = changed(set_node)[0]
    assert fault.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    )
    assert fault.endswith("\nspec.nodeName")
    assert changed(more_deadline) == []
    assert changed(more_deadline, spec={"activeDeadlineSeconds": 5}) == [
        "spec.activeDeadlineSeconds: Invalid value: 9: must be less than or equal to previous value"
    ]
    assert changed(drop_tolerations, spec={"tolerations": [{"key": "a", "operator": "Exists"}]}) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]
    assert changed(rename) == ['metadata.name: Invalid value: "q": field is immutable']


def test_generation_follows_the_spec_and_status_is_isolated() -> None:
    strategy = INFO.strategy
    old = pod()
    strategy.prepare_create(old)
    assert (old.metadata.generation, old.status.phase, old.status.qos_class) == (1, "Pending", "BestEffort")
    new = pod(metadata={"labels": {"a": "b"}}, status={"phase": "Running"})
    strategy.prepare_update(new, old)
    assert (new.metadata.generation, new.status.phase) == (1, "Pending")
    set_image(new)
    strategy.prepare_update(new, old)
    assert new.metadata.generation == 2
    new = pod({"nodeName": "x"}, status={"phase": "Running"})
    strategy.prepare_status_update(new, old)
    assert (new.spec, new.status.phase, new.metadata.generation) == (old.spec, "Running", 1)
    assert new.status.qos_class == "BestEffort"


def test_a_gated_pod_says_so() -> None:
    gated = pod({"schedulingGates": [{"name": "a.b/c"}]})
    INFO.strategy.prepare_create(gated)
    assert [(c.type, c.status, c.reason) for c in gated.status.conditions] == [
        ("PodScheduled", "False", "SchedulingGated")
    ]
    assert INFO.cells(gated, 0.0)[2] == "SchedulingGated"


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ([{}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"requests": {"memory": "1"}}], "Burstable"),
        ([{"requests": {"example.com/x": "1"}, "limits": {"example.com/x": "1"}}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
    ],
)
def test_quality_of_service(resources: list[Tree], quality: str) -> None:
    containers = [{"name": f"c{index}", "image": "x", "resources": each} for index, each in enumerate(resources)]
    new = pod({"containers": containers})
    INFO.strategy.prepare_create(new)
    assert new.status.qos_class == quality


def terminated(code: int, reason: str = "") -> Tree:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": "1970-01-01T00:00:00Z"}}


RUNNING: Tree = {"running": {"startedAt": "1970-01-01T00:00:00Z"}}


def container_status(name: str, state: Tree, **more: Any) -> Tree:
    return {"name": name, "state": state, "ready": "running" in state, "image": "", "imageID": "", **more}


@pytest.mark.parametrize(
    ("status", "cells"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
        (
            {
                "phase": "Pending",
                "containerStatuses": [container_status("c", {"waiting": {"reason": "ContainerCreating"}})],
            },
            ["0/1", "ContainerCreating", "0"],
        ),
        ({"phase": "Running", "containerStatuses": [container_status("c", RUNNING)]}, ["1/1", "Running", "0"]),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    container_status(
                        "c",
                        {"waiting": {"reason": "CrashLoopBackOff"}},
                        restartCount=3,
                        lastState=terminated(1, "Error"),
                    )
                ],
            },
            ["0/1", "CrashLoopBackOff", "3 (5m ago)"],
        ),
        ({"phase": "Failed", "containerStatuses": [container_status("c", terminated(2))]}, ["0/1", "ExitCode:2", "0"]),
        (
            {"phase": "Succeeded", "containerStatuses": [container_status("c", terminated(0, "Completed"))]},
            ["0/1", "Completed", "0"],
        ),
    ],
)
def test_rows_of_pods(status: Tree, cells: list[str]) -> None:
    row = INFO.cells(pod(status=status, metadata={"creationTimestamp": "1970-01-01T00:00:00Z"}), 300.0)
    assert row == ["p", *cells, "5m", "<none>", "<none>", "<none>", "<none>"]
    assert len(row) == len(INFO.columns)


INITS = {"initContainers": [{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("statuses", "cells"),
    [
        ([container_status("i", RUNNING, ready=False)], ["0/2", "Init:0/2"]),
        ([container_status("i", terminated(1))], ["0/2", "Init:ExitCode:1"]),
        ([container_status("i", {"waiting": {"reason": "ErrImagePull"}})], ["0/2", "Init:ErrImagePull"]),
        (
            [container_status("i", terminated(0)), container_status("s", {"waiting": {"reason": "PodInitializing"}})],
            ["0/2", "Init:1/2"],
        ),
        ([container_status("i", terminated(0)), container_status("s", RUNNING, started=True)], ["1/2", "Pending"]),
    ],
)
def test_rows_of_initialising_pods(statuses: list[Tree], cells: list[str]) -> None:
    row = INFO.cells(pod(INITS, status={"phase": "Pending", "initContainerStatuses": statuses}), 0.0)
    assert row[1:3] == cells


def test_a_deleted_pod_is_terminating_unless_it_is_finished() -> None:
    deleted = {"deletionTimestamp": "1970-01-01T00:00:00Z"}
    assert INFO.cells(pod(metadata=deleted, status={"phase": "Running"}), 0.0)[2] == "Terminating"
    assert INFO.cells(pod(metadata=deleted, status={"phase": "Failed"}), 0.0)[2] == "Failed"


def test_selectable_fields() -> None:
    obj = pod({"nodeName": "n"}, status={"phase": "Running", "podIPs": [{"ip": "10.1.1.1"}]})
    fields = INFO.fields(json.loads(INFO.encode(obj)))
    assert (fields["metadata.name"], fields["spec.nodeName"], fields["status.podIP"]) == ("p", "n", "10.1.1.1")
    assert set(fields) == set(INFO.selectable)
    assert INFO.columns[0] == Column("Name", format="name")
