"""What is inside an image archive, of `docker save` or OCI, as one description. Reads, never writes."""

import tarfile
from typing import IO, Any

import msgspec

from node.engine.embedded.unpack import BadImage

INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
MAX_INDEX_DEPTH = 3

Json = dict[str, Any]


class ArchivedImage(msgspec.Struct, frozen=True):
    """One image: its names, its configuration as bytes (whose digest is its id), and where its layers are."""

    tags: list[str]
    config: bytes
    layers: list[str]
    diff_ids: list[str]


def images_in(tar: tarfile.TarFile) -> list[ArchivedImage]:
    """All images of the archive. `docker save` of today writes both descriptions; then the older one counts."""
    names = set(tar.getnames())
    if "manifest.json" in names:
        return [_docker_image(tar, each) for each in _document(tar, "manifest.json", list[Json])]
    if "index.json" in names:
        return _oci_images(tar, _document(tar, "index.json", Json), "", MAX_INDEX_DEPTH)
    raise BadImage("the archive has neither manifest.json nor index.json")


def open_member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        member = tar.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise BadImage(f"the archive lacks {name}")
    return member


def _docker_image(tar: tarfile.TarFile, entry: Json) -> ArchivedImage:
    config = _read(tar, str(entry["Config"]))
    return ArchivedImage(list(entry.get("RepoTags") or []), config, list(entry["Layers"]), _diff_ids(config))


def _oci_images(tar: tarfile.TarFile, index: Json, name: str, depth: int) -> list[ArchivedImage]:
    if depth == 0:
        raise BadImage("the archive's indexes lead nowhere")
    found = []
    for entry in index.get("manifests", []):
        annotations = entry.get("annotations") or {}
        tag = next((annotations[key] for key in NAME_ANNOTATIONS if annotations.get(key)), name)
        manifest = _document(tar, _blob(str(entry["digest"])), Json)
        if entry.get("mediaType") in INDEX_TYPES or "manifests" in manifest:
            found += _oci_images(tar, manifest, tag, depth - 1)
        elif "layers" in manifest and manifest["config"].get("mediaType", "").endswith("json"):
            config = _read(tar, _blob(str(manifest["config"]["digest"])))
            layers = [_blob(str(layer["digest"])) for layer in manifest["layers"]]
            found.append(ArchivedImage([tag] if tag else [], config, layers, _diff_ids(config)))
    return found


def _diff_ids(config: bytes) -> list[str]:
    return [str(each) for each in msgspec.json.decode(config, type=Json)["rootfs"]["diff_ids"]]


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _document(tar: tarfile.TarFile, name: str, type: Any) -> Any:
    try:
        return msgspec.json.decode(_read(tar, name), type=type)
    except msgspec.DecodeError as error:
        raise BadImage(f"{name}: {error}") from error


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    with open_member(tar, name) as file:
        data = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise BadImage(f"{name} is larger than {MAX_DOCUMENT_BYTES} bytes")
    return data
