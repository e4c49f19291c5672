"""The embedded engine's image store: layers with whiteouts, OCI archives, and archives that mean harm."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from node.engine.embedded.images import ImageStore
from node.engine.errors import EngineError, ImageNotFound
from node.engine.imagebuild import ImageConfig, build_archive

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Member = tuple[str, bytes | None, dict[str, Any]]


def tar_of(members: list[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data, fields in members:
            member = tarfile.TarInfo(name)
            member.size = len(data or b"")
            for key, value in fields.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(data or b""))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def archive_of(path: Path, layers: list[bytes], tag: str = "a/b:1") -> Path:
    config = json.dumps(
        {"config": {"Cmd": ["x"]}, "rootfs": {"diff_ids": [digest(layer) for layer in layers]}}
    ).encode()
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]).encode()
    files = [("config.json", config), ("manifest.json", manifest), *zip(names, layers, strict=True)]
    path.write_bytes(tar_of([(name, data, {}) for name, data in files]))
    return path


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


LOAD = """
import asyncio, sys
from pathlib import Path
from node.engine.embedded.images import ImageStore
print("\\n".join(asyncio.run(ImageStore(Path(sys.argv[1])).load(sys.argv[2]))))
"""


def load(store: ImageStore, path: Path) -> list[str]:
    """As the shim does it: from a process without threads, which may fork. Test runners have threads."""
    argv = [sys.executable, "-c", LOAD, str(store.layers.parent), str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise EngineError(done.stderr)
    return done.stdout.split()


def layer_folders(store: ImageStore, ref: str) -> list[Path]:
    return [store.layers / name for name in store.find(ref).layers]


def test_whiteouts_become_what_overlayfs_expects(store: ImageStore, tmp_path: Path) -> None:
    lower = tar_of([("etc/old", b"1", {}), ("opt/a", b"2", {})])
    upper = tar_of([("etc/.wh.old", b"", {}), ("opt/.wh..wh..opq", b"", {}), ("opt/b", b"3", {})])
    assert load(store, archive_of(tmp_path / "i.tar", [lower, upper])) == ["a/b:1"]
    first, second = layer_folders(store, "a/b:1")
    assert (first / "etc/old").read_bytes() == b"1"
    hidden = os.lstat(second / "etc/old")
    assert stat.S_ISCHR(hidden.st_mode)
    assert hidden.st_rdev == 0
    assert os.getxattr(second / "opt", "trusted.overlay.opaque") == b"y"


def test_modes_owners_links_and_times_are_kept(store: ImageStore, tmp_path: Path) -> None:
    layer = tar_of(
        [
            ("bin/su", b"s", {"mode": 0o4755, "uid": 5, "gid": 6, "mtime": 1000}),
            ("tmp", None, {"type": tarfile.DIRTYPE, "mode": 0o1777, "mtime": 2000}),
            ("bin/link", None, {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
            ("bin/hard", None, {"type": tarfile.LNKTYPE, "linkname": "bin/su"}),
        ]
    )
    load(store, archive_of(tmp_path / "i.tar", [layer]))
    [folder] = layer_folders(store, "a/b:1")
    su = (folder / "bin/su").stat()
    assert (stat.S_IMODE(su.st_mode), su.st_uid, su.st_gid, su.st_mtime) == (0o4755, 5, 6, 1000)
    assert (folder / "tmp").stat().st_mtime == 2000
    assert stat.S_IMODE((folder / "tmp").stat().st_mode) == 0o1777
    assert os.readlink(folder / "bin/link") == "/etc/passwd"
    assert (folder / "bin/hard").stat().st_ino == su.st_ino


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", b"x", {})],
        [("/../../evil", b"x", {})],
        [("out", None, {"type": tarfile.SYMTYPE, "linkname": "{outside}"}), ("out/evil", b"x", {})],
        [
            ("out", None, {"type": tarfile.SYMTYPE, "linkname": "../../../../../../../../{outside}"}),
            ("out/evil", b"x", {}),
        ],
        [("hard", None, {"type": tarfile.LNKTYPE, "linkname": "{outside}/precious"}), ("hard", b"x", {})],
        [("out", None, {"type": tarfile.SYMTYPE, "linkname": "{outside}"}), ("out/.wh.precious", b"", {})],
    ],
)
def test_no_archive_writes_outside_its_layer(store: ImageStore, tmp_path: Path, members: list[Member]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    members = [
        (
            name,
            data,
            {key: value.format(outside=outside) if key == "linkname" else value for key, value in rest.items()},
        )
        for name, data, rest in members
    ]
    with contextlib.suppress(EngineError):
        load(store, archive_of(tmp_path / "i.tar", [tar_of(members)]))
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "kept"
    assert not list(tmp_path.rglob("evil")) or all(store.layers in path.parents for path in tmp_path.rglob("evil"))


def test_a_layer_that_is_not_what_its_digest_says_is_refused(store: ImageStore, tmp_path: Path) -> None:
    path = archive_of(tmp_path / "i.tar", [tar_of([("a", b"1", {})])])
    data = path.read_bytes()
    wrong = digest(tar_of([("a", b"2", {})])).encode()
    path.write_bytes(data.replace(digest(tar_of([("a", b"1", {})])).encode(), wrong))
    with pytest.raises(EngineError, match="cannot be unpacked"):
        load(store, path)
    assert store.all() == []
    assert list(store.layers.iterdir()) == []


def test_garbage_is_refused_and_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    for data in (b"", b"not a tar", tar_of([("readme", b"hello", {})]), tar_of([("manifest.json", b"[{]", {})])):
        path.write_bytes(data)
        with pytest.raises(EngineError):
            load(store, path)
    with pytest.raises(EngineError):
        load(store, tmp_path / "missing")
    assert store.all() == []


def test_an_oci_archive_with_gzipped_layers_is_understood(store: ImageStore, tmp_path: Path) -> None:
    layer = tar_of([("hello", b"oci", {})])
    packed = gzip.compress(layer)
    config = json.dumps({"config": {"User": "web"}, "rootfs": {"diff_ids": [digest(layer)]}}).encode()
    config_type = "application/vnd.oci.image.config.v1+json"
    manifest = json.dumps(
        {"config": {"digest": digest(config), "mediaType": config_type}, "layers": [{"digest": digest(packed)}]}
    ).encode()
    annotations = {"org.opencontainers.image.ref.name": "oci/image:7"}
    index = json.dumps({"manifests": [{"digest": digest(manifest), "annotations": annotations}]}).encode()
    blobs = [(f"blobs/{digest(data).replace(':', '/')}", data, {}) for data in (packed, config, manifest)]
    path = tmp_path / "oci.tar"
    path.write_bytes(tar_of([("index.json", index, {}), *blobs]))
    assert load(store, path) == ["oci/image:7"]
    record = store.find("oci/image:7")
    assert record.id == digest(config)
    assert record.config.user == "web"
    assert (layer_folders(store, "oci/image:7")[0] / "hello").read_bytes() == b"oci"


def test_a_tag_moves_to_the_latest_image_and_layers_are_shared(store: ImageStore, tmp_path: Path) -> None:
    base = tar_of([("base", b"1", {})])
    load(store, archive_of(tmp_path / "one.tar", [base]))
    first = store.find("a/b:1")
    load(store, archive_of(tmp_path / "two.tar", [base, tar_of([("more", b"2", {})])]))
    second = store.find("a/b:1")
    assert second.id != first.id
    assert second.layers[0] == first.layers[0]
    assert store.find(first.id).tags == []
    store.remove(first.id, in_use=set())
    assert (store.layers / second.layers[0]).exists()
    with pytest.raises(EngineError):
        store.remove("a/b:1", in_use={second.id})
    store.remove("a/b:1", in_use=set())
    assert list(store.layers.iterdir()) == []
    with pytest.raises(ImageNotFound):
        store.find("a/b:1")


def test_users_are_read_from_the_image_and_never_from_the_node(store: ImageStore, tmp_path: Path) -> None:
    link = tar_of([("etc", None, {"type": tarfile.SYMTYPE, "linkname": "/etc"})])
    load(store, archive_of(tmp_path / "link.tar", [link], "link:1"))
    assert store.read_file(store.find("link:1"), "etc/passwd") == ""
    data = build_archive("ok:1", {"etc/passwd": b"me:x:1:1::/:\n"}, ImageConfig())
    (tmp_path / "ok.tar").write_bytes(data)
    load(store, tmp_path / "ok.tar")
    assert store.read_file(store.find("ok:1"), "etc/passwd") == "me:x:1:1::/:\n"
