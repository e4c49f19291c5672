"""What one API server is told at start: the JSON file given by `--config`."""

import msgspec


class TLSFiles(msgspec.Struct, kw_only=True, frozen=True):
    cert_file: str
    key_file: str


class KubeletClientFiles(msgspec.Struct, kw_only=True, frozen=True):
    cert_file: str
    key_file: str
    ca_file: str


class ServerConfig(msgspec.Struct, kw_only=True, frozen=True):
    """Field names are those of the file; defaults are those of a local cluster."""

    name: str
    bind_address: str
    port: int = 6443
    advertise_address: str = ""
    tls: TLSFiles
    client_ca_file: str
    store_sockets: list[str]
    service_cidr: str = "10.96.0.0/16"
    node_port_range: tuple[int, int] = (30000, 32767)
    cluster_dns_ip: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    default_toleration_s: int = 5
    kubelet_client: KubeletClientFiles | None = None
    event_ttl_s: int = 3600

    @property
    def public_address(self) -> str:
        """The address that clients inside the cluster use."""
        return self.advertise_address or self.bind_address


def load_config(path: str) -> ServerConfig:
    with open(path, "rb") as file:
        return msgspec.json.decode(file.read(), type=ServerConfig)
