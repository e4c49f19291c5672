"""Builds small images without any engine: a `docker save` archive out of files in memory. Pure: bytes in, bytes out.

The cluster's own images (pause, sample) are a static busybox and a few links, so they are built on the spot and
loaded into either engine; no registry and no daemon is needed for it. The result depends on the input alone.
"""

import hashlib
import io
import platform
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

PAUSE_TAG = "timonier/pause:1"
BUSYBOX = Path("/bin/busybox")
EXECUTABLE = 0o755
# /proc, /dev and /sys exist in every root, so that a read-only image can still be mounted on.
_MOUNT_POINTS = ("proc", "dev", "sys")

# The shell takes TERM as PID 1 and reaps what is orphaned to it (shared PID namespaces).
PAUSE_COMMAND = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait; done"]
PAUSE_APPLETS = ("sh", "sleep")


class Symlink(msgspec.Struct, frozen=True):
    """A symbolic link in an image."""

    target: str


class Folder(msgspec.Struct, frozen=True):
    """A folder in an image whose mode matters, or which is empty."""

    mode: int = 0o755


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a container of the image runs unless its pod says otherwise."""

    entrypoint: list[str] = []
    cmd: list[str] = []
    env: list[str] = []
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    labels: dict[str, str] = {}


Entry = bytes | Symlink | Folder


def build_archive(tag: str, files: Mapping[str, Entry], config: ImageConfig) -> bytes:
    """A docker-archive tar with one layer. Paths are relative to the root; files are executable, owned by root."""
    layer = _tar({path.lstrip("/"): entry for path, entry in _with_parents(files).items()}.items())
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    document = msgspec.json.encode(_image_document(config, diff_id))
    config_name = f"{hashlib.sha256(document).hexdigest()}.json"
    layer_name = f"{diff_id.removeprefix('sha256:')}/layer.tar"
    manifest = msgspec.json.encode([{"Config": config_name, "RepoTags": [tag], "Layers": [layer_name]}])
    return _tar([(config_name, document), (layer_name, layer), ("manifest.json", manifest)])


def write_archive(path: Path, tag: str, files: Mapping[str, Entry], config: ImageConfig) -> Path:
    """`build_archive` into a file, which appears whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(build_archive(tag, files, config))
    temporary.rename(path)
    return path


def busybox_root(busybox: bytes, applets: Iterable[str]) -> dict[str, Entry]:
    """A root file system made of a static busybox: the binary, links for the applets, users root and nobody."""
    root: dict[str, Entry] = {"bin/busybox": busybox}
    root |= {f"bin/{applet}": Symlink("busybox") for applet in applets if applet != "busybox"}
    root |= {name: Folder() for name in (*_MOUNT_POINTS, "root")}
    return root | {
        "tmp": Folder(0o1777),
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    }


def pause_archive(tag: str = PAUSE_TAG, busybox: Path = BUSYBOX) -> bytes:
    """The image of the process that holds a pod's namespaces."""
    files = busybox_root(busybox.read_bytes(), PAUSE_APPLETS)
    return build_archive(tag, files, ImageConfig(entrypoint=PAUSE_COMMAND))


def _with_parents(files: Mapping[str, Entry]) -> dict[str, Entry]:
    """Every folder on the way to a file, before the file."""
    result: dict[str, Entry] = {}
    for path in sorted(files):
        for parent in reversed(Path(path.lstrip("/")).parents[:-1]):
            result.setdefault(str(parent), Folder())
        result[path] = files[path]
    return result


def _image_document(config: ImageConfig, diff_id: str) -> dict[str, Any]:
    runtime: dict[str, Any] = {
        "Entrypoint": config.entrypoint or None,
        "Cmd": config.cmd or None,
        "Env": config.env,
        "WorkingDir": config.working_dir,
        "User": config.user,
        "Labels": config.labels,
    }
    if config.stop_signal:
        runtime["StopSignal"] = config.stop_signal
    return {
        "architecture": _architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": runtime,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "timonier"}],
    }


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _tar(entries: Iterable[tuple[str, Entry]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in entries:
            member = tarfile.TarInfo(name)
            member.mode = EXECUTABLE
            match entry:
                case bytes():
                    member.size = len(entry)
                    tar.addfile(member, io.BytesIO(entry))
                case Symlink(target):
                    member.type, member.linkname = tarfile.SYMTYPE, target
                    tar.addfile(member)
                case Folder(mode):
                    member.type, member.mode = tarfile.DIRTYPE, mode
                    tar.addfile(member)
    return buffer.getvalue()
