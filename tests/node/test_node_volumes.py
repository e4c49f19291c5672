"""Volumes on a real file system: what they hold, how they change, that they go."""

import os
from pathlib import Path

import msgspec
import pytest

from master.api.core.configmap import ConfigMap
from master.api.core.pod import Pod
from master.api.core.secret import Secret
from node.fields import PodFacts
from node.objects import CONFIG_MAP, SECRET, ConfigError, Objects, Reference
from node.volumes.atomicwriter import write_payload
from node.volumes.payload import FileEntry, checked_path
from node.volumes.setup import VolumeContext, VolumeError, clear_pod_folder, setup_volumes, volume_references


def make_pod(*volumes: dict[str, object], **spec: object) -> Pod:
    tree = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"volumes": list(volumes), **spec}}
    return msgspec.convert(tree, Pod)


def context(
    folder: Path, pod: Pod, objects: dict[Reference, ConfigMap | Secret | None], stamp: str = "1"
) -> VolumeContext:
    return VolumeContext(
        folder=folder / "volumes",
        facts=PodFacts(pod=pod),
        objects=Objects(objects),
        tokens={("", 3600): "token"},
        stamp=stamp,
    )


CONF = Reference(CONFIG_MAP, "conf")
CRED = Reference(SECRET, "cred")


def test_a_config_map_becomes_files_that_change_all_at_once(tmp_path: Path) -> None:
    pod = make_pod({"name": "v", "configMap": {"name": "conf"}})
    before = {CONF: ConfigMap(data={"a": "1", "b": "2"}, binary_data={"bin": "AAH/"})}
    folder = setup_volumes(pod, context(tmp_path, pod, before))["v"]
    assert (folder / "a").read_text() == "1"
    assert (folder / "bin").read_bytes() == b"\x00\x01\xff"
    assert (folder / "a").stat().st_mode & 0o777 == 0o644
    version = os.readlink(folder / "..data")
    setup_volumes(pod, context(tmp_path, pod, before, "2"))
    assert os.readlink(folder / "..data") == version, "nothing changed, nothing is written"
    setup_volumes(pod, context(tmp_path, pod, {CONF: ConfigMap(data={"a": "3"})}, "3"))
    assert (folder / "a").read_text() == "3"
    assert not os.path.lexists(folder / "b")
    assert not (folder / version).exists()


def test_items_choose_keys_paths_and_modes(tmp_path: Path) -> None:
    items = [{"key": "a", "path": "deep/er/file", "mode": 0o400}]
    pod = make_pod({"name": "v", "configMap": {"name": "conf", "items": items, "defaultMode": 0o600}})
    folder = setup_volumes(pod, context(tmp_path, pod, {CONF: ConfigMap(data={"a": "1", "b": "2"})}))["v"]
    assert [path.name for path in folder.iterdir() if not path.name.startswith("..")] == ["deep"]
    assert (folder / "deep/er/file").stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "conf"}}, 'configmap "conf" not found'),
        ({"secret": {"secretName": "cred"}}, 'secret "cred" not found'),
        ({"nfs": {"server": "s", "path": "/"}}, "does not know this kind"),
        ({"hostPath": {"path": "/nowhere/at/all", "type": "Directory"}}, "hostPath type check failed"),
    ],
)
def test_what_cannot_be_mounted_is_told_with_the_volumes_name(
    tmp_path: Path, volume: dict[str, object], message: str
) -> None:
    pod = make_pod({"name": "v", **volume})
    with pytest.raises(VolumeError, match=f'MountVolume.SetUp failed for volume "v" : .*{message}'):
        setup_volumes(pod, context(tmp_path, pod, {}))


def test_an_optional_object_that_is_missing_leaves_an_empty_folder(tmp_path: Path) -> None:
    pod = make_pod({"name": "v", "configMap": {"name": "conf", "optional": True}})
    folder = setup_volumes(pod, context(tmp_path, pod, {CONF: None}))["v"]
    assert [path for path in folder.iterdir() if not path.name.startswith("..")] == []


def test_secrets_lie_in_memory_and_go_with_the_pod(tmp_path: Path) -> None:
    pod = make_pod(
        {"name": "s", "secret": {"secretName": "cred"}},
        {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "e", "emptyDir": {}},
        securityContext={"fsGroup": 4321},
    )
    paths = setup_volumes(pod, context(tmp_path, pod, {CRED: Secret(data={"k": "dg=="})}))
    try:
        assert os.path.ismount(paths["s"]) and os.path.ismount(paths["m"])
        assert (paths["s"] / "k").read_text() == "v"
        assert (paths["s"] / "k").stat().st_gid == 4321
        assert paths["e"].stat().st_mode & 0o7777 == 0o2777
        assert setup_volumes(pod, context(tmp_path, pod, {CRED: Secret(data={"k": "dg=="})})) == paths
    finally:
        clear_pod_folder(tmp_path)
    assert not tmp_path.exists()
    tmp_path.mkdir()


def test_clearing_does_not_follow_links(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "pod"
    outside.mkdir()
    (outside / "kept").touch()
    inside = folder / "volumes/kubernetes.io~empty-dir/e"
    inside.mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    clear_pod_folder(folder)
    assert (outside / "kept").exists() and not folder.exists()


def test_a_projected_volume_joins_its_sources(tmp_path: Path) -> None:
    sources = [
        {"configMap": {"name": "conf"}},
        {"secret": {"name": "cred", "items": [{"key": "k", "path": "secret"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]
    pod = make_pod({"name": "v", "projected": {"sources": sources}})
    assert set(volume_references(pod)) == {CONF, CRED}
    objects = {CONF: ConfigMap(data={"a": "1"}), CRED: Secret(data={"k": "dg=="})}
    try:
        folder = setup_volumes(pod, context(tmp_path, pod, objects))["v"]
        texts = {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")}
        assert texts == {"a": "1", "secret": "v", "name": "p", "token": "token"}
    finally:
        clear_pod_folder(tmp_path)
    tmp_path.mkdir()


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../b", "..data", ""])
def test_paths_that_would_escape_are_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        checked_path(path)


def test_a_crash_between_two_writings_leaves_the_old_content_whole(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": FileEntry(b"old", 0o644)}, None, "1")
    (tmp_path / "..2").mkdir()
    (tmp_path / "..2/a").write_bytes(b"half")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert write_payload(tmp_path, {"a": FileEntry(b"new", 0o644)}, None, "2")
    assert (tmp_path / "a").read_bytes() == b"new"
