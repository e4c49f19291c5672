"""The proxy's configuration file."""

from pathlib import Path

import msgspec

from master.client.config import ClientConfig


class DnsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where cluster DNS answers on this node, and who is asked about names outside the cluster."""

    address: str
    domain: str = "cluster.local"
    upstreams: list[str] = []
    port: int = 53


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True):
    node_name: str
    address: str
    client: ClientConfig
    cluster_cidr: str
    service_cidr: str
    dns: DnsConfig | None = None


def load_config(path: Path) -> ProxyConfig:
    """Raises OSError or msgspec.ValidationError (a ValueError)."""
    return msgspec.json.decode(path.read_bytes(), type=ProxyConfig)
