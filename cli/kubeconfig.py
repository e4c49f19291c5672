"""A kubeconfig file → where the server is and how to log in.

Found as kubectl finds it: `--kubeconfig`, else `KUBECONFIG`, else the local cluster's, else `~/.kube/config`.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from cli.errors import CommandError
from master.client.config import ClientConfig

STATE_ROOT = Path("/var/lib/timonier")


class Login(msgspec.Struct, frozen=True):
    """What a context says."""

    server: str
    namespace: str
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    def client_config(self, directory: Path) -> ClientConfig:
        """Certificates as files (TLS libraries want files) in a private directory of the caller."""
        paths = {}
        for name, content in (("ca_file", self.ca), ("cert_file", self.certificate), ("key_file", self.key)):
            if content:
                path = directory / name
                path.touch(mode=0o600)
                path.write_bytes(content)
                paths[name] = str(path)
        return ClientConfig(servers=[self.server], **paths)


def find_kubeconfig(option: str, environment: Mapping[str, str]) -> Path:
    """The file to use; CommandError when there is none."""
    if option:
        return Path(option)
    for name in environment.get("KUBECONFIG", "").split(os.pathsep):
        if name and Path(name).exists():
            return Path(name)
    local = STATE_ROOT / environment.get("TIMONIER_CLUSTER", "local") / "admin.kubeconfig"
    home = Path(environment.get("HOME", "/")) / ".kube" / "config"
    for path in (local, home):
        if path.exists():
            return path
    raise CommandError(f"there is no kubeconfig: neither KUBECONFIG nor {local} nor {home} names a file")


def read_login(path: Path, context: str = "") -> Login:
    """The server and certificates of a context (by default the current one)."""
    try:
        tree = yaml.safe_load(path.read_text())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise CommandError(f"{path} is not a kubeconfig")
    chosen = context or tree.get("current-context") or ""
    entry = _named(tree, "contexts", "context", chosen, path)
    cluster = _named(tree, "clusters", "cluster", entry.get("cluster", ""), path)
    user = _named(tree, "users", "user", entry["user"], path) if entry.get("user") else {}
    if not cluster.get("server"):
        raise CommandError(f"{path}: the cluster of context {chosen!r} names no server")
    return Login(
        server=cluster["server"],
        namespace=entry.get("namespace") or "default",
        ca=_content(cluster, "certificate-authority", path),
        certificate=_content(user, "client-certificate", path),
        key=_content(user, "client-key", path),
    )


def _named(tree: dict[str, Any], section: str, field: str, name: str, path: Path) -> dict[str, Any]:
    for entry in tree.get(section) or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get(field) or {}
    raise CommandError(f"{path}: there is no {field} {name!r}")


def _content(entry: dict[str, Any], field: str, path: Path) -> bytes:
    """`<field>-data` in base64, or the file that `<field>` names (relative to the kubeconfig)."""
    data, file = entry.get(f"{field}-data"), entry.get(field)
    try:
        if data:
            return base64.b64decode(data, validate=True)
        return (path.parent / file).read_bytes() if file else b""
    except (binascii.Error, ValueError) as error:
        raise CommandError(f"{path}: {field}-data is not base64") from error
    except OSError as error:
        raise CommandError(f"{path}: {field}: {error}") from error
