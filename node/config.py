"""The kubelet's configuration file: a JSON object, read once at start; unknown and mistyped fields are refused."""

from pathlib import Path
from typing import Literal

import msgspec

from master.client.config import ClientConfig


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which container engine, and the socket of its daemon."""

    kind: Literal["docker", "embedded"]
    socket: str


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pod network; the folders matter to `cni` only."""

    kind: Literal["bridge", "cni"] = "bridge"
    plugin_dir: str = "/usr/lib/cni"
    conf_dir: str = ""


class ServerTls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server on port 10250 shows to its callers."""

    cert_file: str
    key_file: str


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything `python -m node --config FILE` needs to know."""

    node_name: str
    address: str
    client: ClientConfig
    root_dir: str
    engine: EngineConfig
    network: NetworkConfig = NetworkConfig()
    cluster_cidr: str = "10.91.0.0/16"
    cluster_dns: list[str] = []
    cluster_domain: str = "cluster.local"
    static_pod_dir: str = ""
    server_tls: ServerTls
    client_ca_file: str
    cgroup_parent: str = "/timonier"
    port: int = 10250
    read_only_port: int = 10255
    lease_renew_s: float = 2.0
    labels: dict[str, str] = {}
    taints: list[str] = []
    """`key=value:Effect` each; given to the Node when it is created, left to the API afterwards."""
    pause_image: str = "timonier/pause:1"
    max_pods: int = 110


def load_config(path: str) -> NodeConfig:
    """Raises `msgspec.ValidationError` that names the field which is wrong."""
    return msgspec.json.decode(Path(path).read_bytes(), type=NodeConfig)
