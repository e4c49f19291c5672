"""Static pods: manifests in a folder that this node runs by itself, whether or not there is a master.

A file that appears, changes or goes is a pod that appears, is replaced or goes. Everybody can see them, because each
has a mirror in the API: a copy with an annotation that nobody runs. `parse_manifest` is pure.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import yaml

from master.api.core.pod import Pod
from master.api.core.scheduling import Toleration
from node.mirrors import CONFIG_HASH, CONFIG_SOURCE

log = logging.getLogger(__name__)

SCAN_S = 1.0
MAX_MANIFEST_BYTES = 1024 * 1024
MAX_MANIFESTS = 256
SUFFIXES = (".yaml", ".yml", ".json")

FileState = tuple[int, int, int]
"""Inode, size and mtime: what tells a changed file."""


class _Manifest(msgspec.Struct):
    state: FileState
    pod: Pod | None


class ManifestFolder:
    """`scan` each second: the pods of the folder as it is. Only files that changed are read."""

    def __init__(self, folder: Path, node_name: str) -> None:
        self._folder = folder
        self._node_name = node_name
        self._manifests: dict[Path, _Manifest] = {}

    def scan(self) -> list[Pod]:
        present: dict[Path, _Manifest] = {}
        for path in self._files():
            try:
                stat = path.stat(follow_symlinks=False)
            except OSError:
                continue  # it went between the listing and the look
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            known = self._manifests.get(path)
            present[path] = known if known is not None and known.state == state else _Manifest(state, self._read(path))
        self._manifests = present
        pods = {manifest.pod.metadata.uid: manifest.pod for manifest in present.values() if manifest.pod is not None}
        return list(pods.values())

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        files = [path for path in self._folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith(".")]
        # Links could lead anywhere on the node; a manifest is a file.
        return sorted(path for path in files if path.is_file() and not path.is_symlink())[:MAX_MANIFESTS]

    def _read(self, path: Path) -> Pod | None:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_MANIFEST_BYTES + 1)
            if len(content) > MAX_MANIFEST_BYTES:
                raise ValueError(f"larger than {MAX_MANIFEST_BYTES} bytes")
            return parse_manifest(content, self._node_name)
        except (OSError, ValueError, yaml.YAMLError, msgspec.MsgspecError) as error:
            log.warning("manifest %s: %s", path, error)
            return None


def parse_manifest(content: bytes, node_name: str) -> Pod:
    """The pod of a manifest as this node runs it: named after the node, its uid made from the content."""
    tree: Any = yaml.safe_load(content)
    if not isinstance(tree, dict) or tree.get("kind") != "Pod" or tree.get("apiVersion") != "v1":
        raise ValueError("not a v1 Pod")
    pod = msgspec.convert(tree, Pod)
    meta = pod.metadata
    if not meta.name or not pod.spec.containers:
        raise ValueError("a pod needs a name and containers")
    canonical = json.dumps(tree, sort_keys=True, default=str).encode()
    digest = hashlib.sha256(canonical + b"\0" + node_name.encode()).hexdigest()[:32]
    pod.api_version, pod.kind = "v1", "Pod"
    meta.name = f"{meta.name}-{node_name}"
    meta.namespace = meta.namespace or "default"
    meta.uid = digest
    meta.annotations = {**meta.annotations, CONFIG_SOURCE: "file", CONFIG_HASH: digest}
    _default(pod, node_name)
    return pod


def _default(pod: Pod, node_name: str) -> None:
    """What the API would have filled in, where the kubelet relies on it."""
    spec = pod.spec
    spec.node_name = node_name
    spec.restart_policy = spec.restart_policy or "Always"
    spec.dns_policy = spec.dns_policy or "ClusterFirst"
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = 30
    spec.enable_service_links = True if spec.enable_service_links is None else spec.enable_service_links
    spec.tolerations = [*spec.tolerations, Toleration(operator="Exists", effect="NoExecute")]
