"""The shim's images on disk, by content: layers by the digest of their tar, images by that of their configuration.

    images/<id>.json   ImageRecord: configuration, tags, layers
    layers/<digest>/   an unpacked layer; shared by all images that have it

Loading runs in a child process. A layer or an image appears under its name only when it is whole.
"""

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from node.engine.base import ImageInfo
from node.engine.embedded.archive import ArchivedImage, images_in, open_member
from node.engine.embedded.fork import exit_code, run_in_child
from node.engine.embedded.imageref import find_image, normalize
from node.engine.embedded.unpack import BadImage, unpack_layer
from node.engine.errors import EngineError, ImageNotFound

# overlayfs takes its layers in one page of text; short names let more of them in.
LAYER_NAME_LENGTH = 24
MAX_LAYERS = 127
MAX_PASSWD_BYTES = 1024 * 1024


class RuntimeConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """The part of an image's configuration that a container is run by."""

    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    env: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    stop_signal: str | None = None


class ImageRecord(msgspec.Struct, frozen=True):
    """One image; layers are folder names, the lowest first."""

    id: str
    tags: list[str]
    layers: list[str]
    size_bytes: int
    config: RuntimeConfig

    def info(self) -> ImageInfo:
        return ImageInfo(
            id=self.id, tags=self.tags, size_bytes=self.size_bytes, user=self.config.user or "", digests=[]
        )


class ImageStore:
    """Reading is cheap and from disk each time, so that a child's work needs no telling."""

    def __init__(self, root: Path) -> None:
        self._images = root / "images"
        self.layers = root / "layers"
        self._lock = root / "images.lock"
        for folder in (self._images, self.layers):
            folder.mkdir(parents=True, exist_ok=True)

    def all(self) -> list[ImageRecord]:
        paths = sorted(self._images.glob("*.json"))
        return [msgspec.json.decode(path.read_bytes(), type=ImageRecord) for path in paths]

    def find(self, ref: str) -> ImageRecord:
        records = self.all()
        info = find_image((record.info() for record in records), ref)
        if info is None:
            raise ImageNotFound(f"no such image: {ref}")
        return next(record for record in records if record.id == info.id)

    async def load(self, archive: str) -> list[str]:
        """Tags (or ids) of what the archive holds."""
        code, report = await run_in_child(lambda: "\n".join(self._load(Path(archive))).encode())
        if code != 0:
            raise EngineError(f"cannot load {archive}: {report.decode(errors='replace') or f'exit code {code}'}")
        return report.decode().splitlines()

    def remove(self, ref: str, *, in_use: set[str]) -> None:
        """Takes the tag away, and the image with its layers when that was the last; gone already is fine."""
        with self._exclusive():
            try:
                record = self.find(ref)
            except ImageNotFound:
                return
            tags = [] if ref == record.id else [tag for tag in record.tags if normalize(tag) != normalize(ref)]
            if tags:
                self._write(msgspec.structs.replace(record, tags=tags))
            elif record.id in in_use:
                raise EngineError(f"image {ref} is used by a container")
            else:
                self._path(record.id).unlink()
                self._remove_orphan_layers()

    def read_file(self, record: ImageRecord, path: str) -> str:
        """A small text file of the image (/etc/passwd); "" when there is none. Links are not followed."""
        for layer in reversed(record.layers):
            place = (self.layers / layer).resolve() / path
            if place.parent.resolve() != place.parent:
                return ""  # a link may lead out of the image, to the node's own users
            try:
                fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            except OSError:
                return ""
            with os.fdopen(fd, "rb") as file:
                return file.read(MAX_PASSWD_BYTES).decode(errors="replace")
        return ""

    # In the child.

    def _load(self, archive: Path) -> list[str]:
        loaded: list[str] = []
        with tarfile.open(archive, mode="r:*") as tar, self._exclusive():
            images = images_in(tar)
            for image in images:
                self._add(tar, image)
                loaded += image.tags or [_id_of(image)]
        return loaded

    def _add(self, tar: tarfile.TarFile, image: ArchivedImage) -> None:
        if len(image.layers) != len(image.diff_ids) or len(image.layers) > MAX_LAYERS:
            raise BadImage(f"{len(image.layers)} layers and {len(image.diff_ids)} digests")
        for name, diff_id in zip(image.layers, image.diff_ids, strict=True):
            self._ensure_layer(tar, name, diff_id)
        layers = [_layer_name(diff_id) for diff_id in image.diff_ids]
        runtime = msgspec.json.decode(image.config, type=dict[str, Any]).get("config") or {}
        record = ImageRecord(
            id=_id_of(image),
            tags=sorted({*image.tags, *self._tags_of(_id_of(image))}),
            layers=layers,
            size_bytes=sum(_size(self.layers / layer) for layer in layers),
            config=msgspec.convert(runtime, RuntimeConfig),
        )
        self._take_tags_away({normalize(tag) for tag in image.tags}, record.id)
        self._write(record)

    def _ensure_layer(self, tar: tarfile.TarFile, name: str, diff_id: str) -> None:
        target = self.layers / _layer_name(diff_id)
        if target.exists():
            return
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self.layers))
        try:
            temporary.chmod(0o755)
            with open_member(tar, name) as layer:
                pid = os.fork()
                if pid == 0:
                    _unpack_and_exit(layer, temporary, diff_id)
                code = exit_code(os.waitpid(pid, 0)[1])
            if code != 0:
                raise BadImage(f"layer {name} cannot be unpacked, or is not {diff_id}")
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _tags_of(self, image_id: str) -> list[str]:
        path = self._path(image_id)
        return msgspec.json.decode(path.read_bytes(), type=ImageRecord).tags if path.exists() else []

    def _take_tags_away(self, tags: set[str], keep_id: str) -> None:
        """A tag names one image: the latest that was loaded under it."""
        for record in self.all():
            kept = [tag for tag in record.tags if normalize(tag) not in tags]
            if record.id != keep_id and kept != record.tags:
                self._write(msgspec.structs.replace(record, tags=kept))

    def _remove_orphan_layers(self) -> None:
        wanted = {layer for record in self.all() for layer in record.layers}
        for folder in self.layers.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _path(self, image_id: str) -> Path:
        return self._images / f"{image_id.removeprefix('sha256:')}.json"

    def _write(self, record: ImageRecord) -> None:
        path = self._path(record.id)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.rename(path)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One writer at a time, also across processes."""
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _unpack_and_exit(layer: Any, folder: Path, diff_id: str) -> None:
    """In a process of its own, because its root is changed for good."""
    code = 1
    try:
        code = 0 if unpack_layer(layer, folder) == diff_id else 2
    except (OSError, tarfile.TarError, BadImage, EOFError) as error:
        print(f"layer {diff_id}: {error}", flush=True)
    finally:
        os._exit(code)


def _id_of(image: ArchivedImage) -> str:
    return f"sha256:{hashlib.sha256(image.config).hexdigest()}"


def _layer_name(diff_id: str) -> str:
    algorithm, _, digest = diff_id.partition(":")
    if algorithm != "sha256" or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise BadImage(f"{diff_id!r} is no sha256 digest")
    return digest[:LAYER_NAME_LENGTH]


def _size(folder: Path) -> int:
    return sum(os.lstat(os.path.join(path, name)).st_size for path, _, names in os.walk(folder) for name in names)
