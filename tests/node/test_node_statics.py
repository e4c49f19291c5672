"""Static pods from a folder, the status writer's patches, the node's own status, image pulls."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.core.node import Node, NodeCondition, NodeStatus, NodeSystemInfo
from master.api.core.pod import Pod, PodStatus
from master.client.config import ClientConfig
from node.config import EngineConfig, NodeConfig, ServerTls, load_config
from node.engine.base import ImageInfo
from node.images import Held, ImagePuller, Present, pull_policy
from node.mergediff import merge_diff
from node.mirrors import is_mirror, is_static, mirror_of, mirrors
from node.nodeinfo import Machine, Pressure, parse_meminfo
from node.nodestatus import Health, materially_equal, node_labels, node_status, parse_taint
from node.reporter import status_patch
from node.routes import routes
from node.statics import ManifestFolder, parse_manifest

MANIFEST = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n"


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    pod = parse_manifest(MANIFEST.encode(), "node-1")
    assert (pod.metadata.name, pod.metadata.namespace, pod.spec.node_name) == ("web-node-1", "default", "node-1")
    assert pod.metadata.uid == parse_manifest(MANIFEST.encode(), "node-1").metadata.uid
    assert pod.metadata.uid != parse_manifest(MANIFEST.encode(), "node-2").metadata.uid
    assert pod.metadata.uid != parse_manifest(MANIFEST.replace("image: i", "image: j").encode(), "node-1").metadata.uid
    mirror = mirror_of(pod, Node())
    assert is_static(pod) and is_mirror(mirror) and mirrors(mirror, pod)
    assert mirror.metadata.uid == ""


@pytest.mark.parametrize("content", ["", "kind: Pod", "[1]", "apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {}"])
def test_what_is_no_pod_is_refused(content: str) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        parse_manifest(content.encode(), "node-1")


def test_the_folder_is_followed_and_bad_files_are_passed_over(tmp_path: Path) -> None:
    folder = ManifestFolder(tmp_path / "manifests", "node-1")
    assert folder.scan() == []
    (tmp_path / "manifests").mkdir()
    good = tmp_path / "manifests/web.yaml"
    good.write_text(MANIFEST)
    (tmp_path / "manifests/bad.yaml").write_text("{")
    (tmp_path / "manifests/note.txt").write_text(MANIFEST)
    (tmp_path / "outside.yaml").write_text(MANIFEST.replace("web", "outside"))
    (tmp_path / "manifests/link.yaml").symlink_to(tmp_path / "outside.yaml")
    (first,) = folder.scan()
    assert folder.scan()[0] is first, "an unchanged file is not read again"
    good.write_text(MANIFEST.replace("image: i", "image: other"))
    (second,) = folder.scan()
    assert second.metadata.uid != first.metadata.uid
    good.unlink()
    assert folder.scan() == []


TREES = st.recursive(
    st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def apply_merge(target: Any, patch: Any) -> Any:
    """RFC 7396, as the server does it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge(result.get(key), value)
    return result


@given(st.dictionaries(st.sampled_from("abc"), TREES), st.dictionaries(st.sampled_from("abc"), TREES))
def test_the_difference_turns_one_tree_into_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert apply_merge(old, merge_diff(old, new)) == new
    assert merge_diff(new, new) == {}


def test_a_status_patch_names_the_pod_and_leaves_foreign_conditions_alone() -> None:
    tree = {
        "metadata": {"name": "p", "uid": "u", "resourceVersion": "7"},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "lb", "status": "True"}, {"type": "Ready", "status": "False"}],
        },
    }
    base = msgspec.convert(tree, Pod)
    ours = msgspec.convert({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, PodStatus)
    patch: Any = status_patch(base, ours)
    assert patch["metadata"] == {"uid": "u", "resourceVersion": "7"}
    assert patch["status"]["phase"] == "Running"
    assert [(each["type"], each["status"]) for each in patch["status"]["conditions"]] == [
        ("lb", "True"),
        ("Ready", "True"),
    ]
    assert status_patch(base, base.status) == {}


CONFIG = NodeConfig(
    node_name="node-1",
    address="10.90.0.11",
    client=ClientConfig(servers=["https://m"]),
    root_dir="/",
    engine=EngineConfig(kind="embedded", socket="s"),
    server_tls=ServerTls(cert_file="c", key_file="k"),
    client_ca_file="ca",
    labels={"zone": "a"},
)
MACHINE = Machine(cpus=2, memory_bytes=4 * 1024**3, disk_bytes=10**11, info=NodeSystemInfo(kernel_version="6.1"))
FINE = Pressure(memory_available_bytes=1024**3, disk_available_bytes=10**10, disk_bytes=10**11, pids=10, pids_max=32768)


def make_status(health: Health, before: NodeStatus, now_s: float, pressure: Pressure = FINE) -> NodeStatus:
    images = [ImageInfo(id="sha256:1", tags=["a:1"], size_bytes=5)]
    return node_status(CONFIG, MACHINE, pressure, health, images, "embedded://0.1", before, now_s)


def condition(status: NodeStatus, type: str) -> NodeCondition:
    return next(each for each in status.conditions if each.type == type)


def test_a_node_is_ready_when_engine_and_network_are() -> None:
    foreign = NodeStatus(conditions=[NodeCondition(type="Custom", status="True")])
    down = make_status(Health(network_error="no pod CIDR"), foreign, 100.0)
    assert condition(down, "Ready").status == "False" and condition(down, "Ready").message == "no pod CIDR"
    assert condition(down, "Custom").status == "True"
    up = make_status(Health(), down, 200.0)
    assert condition(up, "Ready").status == "True"
    assert condition(up, "Ready").last_transition_time != condition(down, "Ready").last_transition_time
    later = make_status(Health(), up, 300.0)
    assert condition(later, "Ready").last_transition_time == condition(up, "Ready").last_transition_time
    assert materially_equal(later, up) and not materially_equal(up, down)
    assert condition(up, "MemoryPressure").reason == "KubeletHasSufficientMemory"
    assert up.allocatable["cpu"] == "2" and up.capacity["pods"] == "110"
    assert up.node_info.container_runtime_version == "embedded://0.1"


def test_pressure_is_told() -> None:
    tight = msgspec.structs.replace(FINE, memory_available_bytes=1, disk_available_bytes=1, pids=32000)
    status = make_status(Health(), NodeStatus(), 1.0, tight)
    told = {each.type: (each.status, each.reason) for each in status.conditions}
    assert told["MemoryPressure"] == ("True", "KubeletHasInsufficientMemory")
    assert told["DiskPressure"] == ("True", "KubeletHasDiskPressure")
    assert told["PIDPressure"] == ("True", "KubeletHasInsufficientPID")


def test_labels_taints_and_memory_are_read() -> None:
    labels = node_labels(CONFIG)
    assert labels["kubernetes.io/hostname"] == "node-1" and labels["zone"] == "a"
    taint = parse_taint("gpu=yes:NoSchedule")
    assert (taint.key, taint.value, taint.effect) == ("gpu", "yes", "NoSchedule")
    with pytest.raises(ValueError, match="not a taint"):
        parse_taint("gpu=yes:Sometimes")
    assert parse_meminfo("MemTotal:  2 kB\nHugePages_Total: 0\n") == {"MemTotal": 2048}


def test_routes_lead_to_every_other_node_that_has_a_network() -> None:
    def node(name: str, cidr: str, address: str) -> Node:
        addresses = [{"type": "InternalIP", "address": address}] if address else []
        tree = {"metadata": {"name": name}, "spec": {"podCIDR": cidr}, "status": {"addresses": addresses}}
        return msgspec.convert(tree, Node)

    nodes = [node("a", "10.91.1.0/24", "10.90.0.1"), node("b", "10.91.2.0/24", "10.90.0.2")]
    nodes += [node("c", "", "10.90.0.3"), node("d", "10.91.4.0/24", "")]
    assert routes(nodes, "a") == {"10.91.2.0/24": "10.90.0.2"}


def test_a_configuration_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    path.write_bytes(msgspec.json.encode(CONFIG))
    assert load_config(str(path)) == CONFIG
    path.write_text('{"node_name": "n", "adress": "typo"}')
    with pytest.raises(msgspec.ValidationError, match="adress"):
        load_config(str(path))


# Images.


class Registry:
    """An engine that only knows images; `answer` is what a pull ends with."""

    def __init__(self, local: set[str], answer: str = "") -> None:
        self.local = local
        self.answer = answer
        self.pulls = 0

    async def image_status(self, ref: str) -> ImageInfo | None:
        return ImageInfo(id="sha256:1", tags=[ref]) if ref in self.local else None

    async def pull_image(self, ref: str) -> str:
        self.pulls += 1
        await asyncio.sleep(0)
        if self.answer:
            raise RuntimeError(self.answer)
        self.local.add(ref)
        return "sha256:1"


class Puller:
    def __init__(self, local: set[str], answer: str = "") -> None:
        self.now_s = 0.0
        self.told: list[str] = []
        self.registry: Any = Registry(local, answer)
        self.woken = asyncio.Event()
        self.puller = ImagePuller(self.registry, lambda: self.now_s, lambda uid: self.woken.set())

    async def ensure(self, image: str, policy: str = "") -> Present | Held:
        return await self.puller.ensure("u", "c", image, policy, lambda type, reason, message: self.told.append(reason))

    async def ensure_at_last(self, image: str, policy: str = "") -> Present | Held:
        first = await self.ensure(image, policy)
        assert isinstance(first, Held) and first.waiting.reason == "ContainerCreating"
        async with asyncio.timeout(5):
            await self.woken.wait()
        self.woken.clear()
        return await self.ensure(image, policy)


@pytest.mark.parametrize(
    ("policy", "image", "expected"),
    [
        ("", "web", "Always"),
        ("", "web:latest", "Always"),
        ("", "host:5000/web", "Always"),
        ("", "web:1", "IfNotPresent"),
        ("", "web@sha256:abc", "IfNotPresent"),
        ("Never", "web", "Never"),
    ],
)
def test_the_pull_policy_follows_from_the_tag(policy: str, image: str, expected: str) -> None:
    assert pull_policy(policy, image) == expected


def test_a_local_image_is_used_without_asking_anybody() -> None:
    async def main() -> None:
        puller = Puller({"web:1"})
        assert isinstance(await puller.ensure("web:1"), Present)
        assert puller.registry.pulls == 0

    asyncio.run(main())


def test_a_missing_image_is_pulled_once_and_then_present() -> None:
    async def main() -> None:
        puller = Puller(set())
        assert isinstance(await puller.ensure_at_last("web:1"), Present)
        assert puller.registry.pulls == 1 and puller.told == ["Pulling"]

    asyncio.run(main())


def test_a_failing_pull_is_told_and_backed_off_ever_longer() -> None:
    async def main() -> None:
        puller = Puller(set(), "no such image")
        failed = await puller.ensure_at_last("web:1")
        assert isinstance(failed, Held) and failed.waiting.reason == "ErrImagePull"
        puller.now_s = 3.0
        waits = await puller.ensure("web:1")
        assert isinstance(waits, Held) and waits.waiting.reason == "ImagePullBackOff" and waits.wake_at_s == 10.0
        assert "no such image" in waits.waiting.message
        puller.now_s = 10.0
        await puller.ensure_at_last("web:1")
        later = await puller.ensure("web:1")
        assert isinstance(later, Held) and later.wake_at_s == 30.0
        assert "BackOff" in puller.told and "Failed" in puller.told

    asyncio.run(main())


def test_always_asks_the_registry_and_does_not_make_do_with_what_is_here() -> None:
    async def main() -> None:
        puller = Puller({"web"}, "registry is away")
        failed = await puller.ensure_at_last("web")
        assert isinstance(failed, Held) and failed.waiting.reason == "ErrImagePull"
        assert "registry is away" in failed.waiting.message
        puller.now_s = 3.0
        waits = await puller.ensure("web")
        assert isinstance(waits, Held) and waits.waiting.reason == "ImagePullBackOff"
        assert isinstance(await puller.ensure("web", "IfNotPresent"), Present)

    asyncio.run(main())
