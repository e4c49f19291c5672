"""Environment variables, the downward API, resources, resolver and host files: pure functions."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.core.configmap import ConfigMap
from master.api.core.env import ResourceFieldSelector
from master.api.core.pod import Pod
from master.api.core.secret import Secret
from master.api.core.service import Service
from node.admission import refusal
from node.containerspec import sub_path
from node.env import expand, references, resolve_env, service_variables
from node.fields import PodFacts, field_value, resource_value
from node.objects import CONFIG_MAP, SECRET, ConfigError, Objects, Reference
from node.qos import qos_class
from node.resolv import Resolver, hosts_file, parse_resolv_conf, pod_resolver
from node.resources import kernel_limits, oom_score_adj, pod_cgroup, pod_requests
from node.security import identity


def make_pod(container: dict[str, object] | None = None, **spec: object) -> Pod:
    tree = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"b": "2", "a": 'x"y'}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", **(container or {})}], **spec},
    }
    return msgspec.convert(tree, Pod)


OBJECTS = Objects(
    {
        Reference(CONFIG_MAP, "conf"): ConfigMap(data={"color": "red", "size": "9"}),
        Reference(SECRET, "cred"): Secret(data={"user": "YWxpY2U="}),
        Reference(CONFIG_MAP, "none"): None,
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)/$(B)", "1/2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_expansion_follows_kubernetes_syntax(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@given(st.text(alphabet="ab"))
def test_text_without_a_dollar_is_never_changed(text: str) -> None:
    assert expand(text, {"a": "b"}) == text


def test_later_definitions_win_and_may_refer_to_earlier_ones() -> None:
    pod = make_pod(
        {
            "envFrom": [{"prefix": "C_", "configMapRef": {"name": "conf"}}, {"secretRef": {"name": "cred"}}],
            "env": [
                {"name": "user", "value": "bob"},
                {"name": "TEXT", "value": "$(user) likes $(C_color)"},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
            ],
        }
    )
    container = pod.spec.containers[0]
    assert {each.name for each in references(container)} == {"conf", "cred", "none"}
    env = resolve_env(container, PodFacts(pod=pod), OBJECTS, {"user": "service", "S": "1"})
    assert env == {"user": "bob", "S": "1", "C_color": "red", "C_size": "9", "TEXT": "bob likes red", "NAME": "web"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"configMapKeyRef": {"name": "conf", "key": "k"}}, "couldn't find key k in ConfigMap shop/conf"),
        ({"secretKeyRef": {"name": "other", "key": "k"}}, 'secret "other" not found'),
        ({"fieldRef": {"fieldPath": "spec.secret"}}, "unsupported fieldPath"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_with_its_name(source: dict[str, object], message: str) -> None:
    pod = make_pod({"env": [{"name": "X", "valueFrom": source}]})
    with pytest.raises(ConfigError, match=message):
        resolve_env(pod.spec.containers[0], PodFacts(pod=pod), OBJECTS, {})


def test_fields_of_the_pod_become_text() -> None:
    facts = PodFacts(pod=make_pod(), pod_ip="10.91.0.9", host_ip="10.90.0.1")
    assert field_value("status.podIP", facts) == "10.91.0.9"
    assert field_value("status.hostIP", facts) == "10.90.0.1"
    assert field_value("metadata.labels['b']", facts) == "2"
    assert field_value("metadata.annotations['none']", facts) == ""
    assert field_value("metadata.labels", facts) == 'a="x\\"y"\nb="2"'


def test_amounts_are_divided_and_rounded_up() -> None:
    pod = make_pod({"resources": {"limits": {"cpu": "250m"}, "requests": {"memory": "100Mi"}}})
    facts = PodFacts(pod=pod, allocatable={"memory": "2Gi"})

    def value(resource: str, divisor: str | None = None) -> str:
        return resource_value(ResourceFieldSelector(resource=resource, divisor=divisor), "c", facts)

    assert value("limits.cpu") == "1"
    assert value("limits.cpu", "1m") == "250"
    assert value("requests.memory", "1Mi") == "100"
    assert value("limits.memory", "1Gi") == "2", "without a limit the node's own is the limit"


def test_services_become_variables() -> None:
    def service(name: str, namespace: str, ip: str) -> Service:
        ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
        tree = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": ports}}
        return msgspec.convert(tree, Service)

    services = [service("my-db", "shop", "10.96.0.7"), service("kubernetes", "default", "10.96.0.1")]
    services += [service("headless", "shop", "None"), service("other", "elsewhere", "10.96.0.8")]
    found = service_variables(services, "shop", links=True)
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.7"
    assert found["MY_DB_SERVICE_PORT_HTTP"] == "80"
    assert found["MY_DB_PORT_80_TCP"] == found["MY_DB_PORT"] == "tcp://10.96.0.7:80"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert not any(name.startswith(("HEADLESS", "OTHER")) for name in found)
    assert "MY_DB_SERVICE_HOST" not in service_variables(services, "shop", links=False)


def test_kernel_figures_follow_requests_and_limits() -> None:
    pod = make_pod({"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "64Mi"}}})
    limits = kernel_limits(pod.spec.containers[0].resources)
    assert (limits.cpu_shares, limits.cpu_quota_us, limits.memory_bytes) == (512, 100_000, 64 * 1024**2)
    nothing = kernel_limits(make_pod().spec.containers[0].resources)
    assert (nothing.cpu_shares, nothing.cpu_quota_us, nothing.memory_bytes) == (2, 0, 0)


@pytest.mark.parametrize(
    ("resources", "tier"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_quality_of_service_follows_from_resources(resources: dict[str, object], tier: str) -> None:
    pod = make_pod({"resources": resources})
    assert qos_class(pod) == tier
    infix = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}[tier]
    assert pod_cgroup("/timonier/node-1", pod) == f"/timonier/node-1/kubepods{infix}/podu1"
    score = oom_score_adj(pod, pod.spec.containers[0].resources, 8 * 1024**3)
    assert {"Guaranteed": score == -997, "BestEffort": score == 1000, "Burstable": 3 <= score <= 999}[tier]


def test_a_pod_asks_for_its_containers_together_or_for_its_largest_init_container() -> None:
    def cpu(amount: str) -> dict[str, object]:
        return {"image": "i", "resources": {"requests": {"cpu": amount}}}

    pod = make_pod(cpu("1"), initContainers=[{"name": "i", **cpu("3")}])
    assert pod_requests(pod) == {"cpu": 3000}
    side = make_pod(cpu("1"), initContainers=[{"name": "s", "restartPolicy": "Always", **cpu("1")}])
    assert pod_requests(side) == {"cpu": 2000}


def test_a_pod_that_does_not_fit_is_refused_with_a_reason() -> None:
    allocatable = {"cpu": "2", "memory": "1Gi", "pods": "3"}
    small = make_pod({"resources": {"requests": {"cpu": "1"}}, "ports": [{"containerPort": 80, "hostPort": 80}]})
    large = make_pod({"resources": {"requests": {"cpu": "1500m"}}})
    assert refusal(large, [], allocatable, None) is None
    assert refusal(large, [small], allocatable, None) == (
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
    )
    assert refusal(small, [small], allocatable, None)[0] == "NodePorts"  # type: ignore[index]
    assert refusal(make_pod(), [make_pod()] * 3, allocatable, None)[0] == "OutOfpods"  # type: ignore[index]


def test_the_resolver_follows_the_dns_policy() -> None:
    host = parse_resolv_conf("# local\nnameserver 192.0.2.1\nsearch example.org\noptions timeout:2\n")
    assert host == Resolver(["192.0.2.1"], ["example.org"], ["timeout:2"])
    cluster = pod_resolver(make_pod(), ["10.96.0.10"], "cluster.local", host)
    assert cluster.servers == ["10.96.0.10"]
    assert cluster.searches == ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"]
    assert cluster.options == ["ndots:5"]
    assert pod_resolver(make_pod(dnsPolicy="Default"), ["10.96.0.10"], "cluster.local", host) == host
    config = {"nameservers": ["1.1.1.1"], "searches": ["x.org"], "options": [{"name": "ndots", "value": "2"}]}
    own = pod_resolver(make_pod(dnsPolicy="None", dnsConfig=config), ["10.96.0.10"], "cluster.local", host)
    assert own == Resolver(["1.1.1.1"], ["x.org"], ["ndots:2"])
    on_host = make_pod(hostNetwork=True)
    assert pod_resolver(on_host, ["10.96.0.10"], "cluster.local", host) == host
    with_host = make_pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")
    assert pod_resolver(with_host, ["10.96.0.10"], "cluster.local", host).servers == ["10.96.0.10"]


def test_the_hosts_file_names_the_pod_and_its_aliases() -> None:
    pod = make_pod(hostname="h", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = hosts_file(pod, "10.91.0.9", "cluster.local", "")
    assert "10.91.0.9\th.sub.shop.svc.cluster.local\th\n" in text
    assert "1.2.3.4\ta\tb\n" in text
    assert hosts_file(make_pod(hostNetwork=True), "", "cluster.local", "9.9.9.9 host\n").endswith("9.9.9.9 host\n")


def test_identity_joins_pod_and_container_and_refuses_root_where_it_is_forbidden() -> None:
    own = {"securityContext": {"runAsUser": 5, "capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["all"]}}}
    pod = make_pod(own, securityContext={"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]})
    who = identity(pod, pod.spec.containers[0], "")
    assert (who.user, who.group, who.supplemental_groups) == ("5", "2", [4, 3])
    assert (who.cap_add, who.cap_drop) == (["NET_ADMIN"], ["ALL"])
    strict = make_pod(securityContext={"runAsNonRoot": True})
    for image_user in ("", "0", "root:root", "web"):
        with pytest.raises(ConfigError):
            identity(strict, strict.spec.containers[0], image_user)
    assert identity(strict, strict.spec.containers[0], "1000").user == ""


def test_a_sub_path_cannot_leave_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "out").symlink_to(tmp_path)
    assert sub_path(volume, "a/b") == volume / "a/b"
    for bad in ("../x", "/etc", "out", "out/x"):
        with pytest.raises(ConfigError):
            sub_path(volume, bad)
