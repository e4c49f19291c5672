"""Names, addresses and paths of a local cluster: pure data, derived from a handful of choices.

Everything that has to agree between certificates, configuration files and the network is computed here once.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

STATE_ROOT = Path("/var/lib/timonier")
DEFAULT_NAME = "local"
API_PORT = 6443
STORE_PEER_PORT = 2380
KUBELET_PORT = 10250
KUBELET_READ_ONLY_PORT = 10255
SERVICE_CIDR = "10.96.0.0/16"
CLUSTER_DOMAIN = "cluster.local"
FIRST_NODE_SUFFIX = 10
FIRST_MASTER_SUFFIX = 200
MAX_MASTERS = 7
MAX_NODES = 100
NAME_MAX = 8  # interface names hold 15 characters

EngineKind = Literal["docker", "embedded"]
Profile = Literal["chaos", "standard", "upstream"]
DEFAULT_TOLERATION_S: Mapping[str, int] = {"chaos": 5, "standard": 30, "upstream": 300}


class Host(msgspec.Struct, frozen=True):
    """One machine of the cluster."""

    name: str
    role: Literal["master", "node"]
    address: str


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The choices made at `timonier up`; saved as cluster.json and read by every later command."""

    name: str = DEFAULT_NAME
    masters: int = 3
    nodes: int = 3
    engine: EngineKind = "docker"
    profile: Profile = "chaos"
    second_octet: int = 90  # hosts live in 10.X.0.0/16, pods in 10.(X+1).0.0/16
    gateway_port: int = API_PORT
    state_root: str = str(STATE_ROOT)

    def __post_init__(self) -> None:
        if not self.name.isalnum() or not self.name.islower() or len(self.name) > NAME_MAX:
            raise ValueError(f"name: {self.name!r} must be at most {NAME_MAX} lower-case letters and digits")
        if not 1 <= self.masters <= MAX_MASTERS:
            raise ValueError(f"masters: {self.masters} is not between 1 and {MAX_MASTERS}")
        if not 1 <= self.nodes <= MAX_NODES:
            raise ValueError(f"nodes: {self.nodes} is not between 1 and {MAX_NODES}")
        if not 1 <= self.second_octet <= 254 or self.second_octet in (95, 96):
            raise ValueError(f"second_octet: {self.second_octet} collides with the service network or is out of range")

    # -- names ------------------------------------------------------------------------------------------------
    @property
    def prefix(self) -> str:
        """What names of namespaces and cgroups begin with."""
        return "timonier" if self.name == DEFAULT_NAME else f"timonier-{self.name}"

    @property
    def fabric_netns(self) -> str:
        return f"{self.prefix}-fab"

    @property
    def root_link(self) -> str:
        """The machine's own leg into the fabric."""
        return f"tim-{self.name}"

    def netns(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def cgroup(self, host: str) -> str:
        """Everything that runs on a host is below this cgroup: one write cuts its power."""
        return f"/{self.prefix}/{host}"

    # -- addresses --------------------------------------------------------------------------------------------
    @property
    def host_cidr(self) -> str:
        return f"10.{self.second_octet}.0.0/16"

    @property
    def cluster_cidr(self) -> str:
        return f"10.{self.second_octet + 1}.0.0/16"

    @property
    def gateway_address(self) -> str:
        return f"10.{self.second_octet}.0.2"

    @property
    def cluster_dns_ip(self) -> str:
        return str(ipaddress.ip_network(SERVICE_CIDR)[10])

    @property
    def kubernetes_service_ip(self) -> str:
        return str(ipaddress.ip_network(SERVICE_CIDR)[1])

    @property
    def master_hosts(self) -> list[Host]:
        return [Host(f"master-{i}", "master", self._address(FIRST_MASTER_SUFFIX + i)) for i in _upto(self.masters)]

    @property
    def node_hosts(self) -> list[Host]:
        return [Host(f"node-{i}", "node", self._address(FIRST_NODE_SUFFIX + i)) for i in _upto(self.nodes)]

    @property
    def hosts(self) -> list[Host]:
        return [*self.master_hosts, *self.node_hosts]

    def host(self, name: str) -> Host:
        """Raises KeyError with the names that exist."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(f"no host {name!r}; hosts are {', '.join(h.name for h in self.hosts)}")

    def _address(self, suffix: int) -> str:
        return f"10.{self.second_octet}.0.{suffix}"

    @property
    def api_servers(self) -> list[str]:
        return [f"https://{host.address}:{API_PORT}" for host in self.master_hosts]

    @property
    def gateway_url(self) -> str:
        return f"https://127.0.0.1:{self.gateway_port}"

    # -- paths ------------------------------------------------------------------------------------------------
    @property
    def home(self) -> Path:
        return Path(self.state_root) / self.name

    @property
    def file(self) -> Path:
        return self.home / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "admin.kubeconfig"

    @property
    def pki_dir(self) -> Path:
        return self.home / "pki"

    def host_dir(self, host: str) -> Path:
        return self.home / "hosts" / host

    def etc(self, host: str) -> Path:
        return self.host_dir(host) / "etc"

    def run(self, host: str) -> Path:
        return self.host_dir(host) / "run"

    def logs(self, host: str) -> Path:
        return self.host_dir(host) / "logs"

    def data(self, host: str) -> Path:
        return self.host_dir(host) / "data"

    def store_socket(self, host: str) -> Path:
        return self.run(host) / "store.sock"

    def engine_socket(self, host: str) -> Path:
        return self.run(host) / ("docker.sock" if self.engine == "docker" else "shim.sock")


def _upto(n: int) -> range:
    return range(1, n + 1)


def load(name: str = DEFAULT_NAME, state_root: Path = STATE_ROOT) -> Layout:
    """The saved layout of a cluster; raises FileNotFoundError when there is none."""
    return msgspec.json.decode((state_root / name / "cluster.json").read_bytes(), type=Layout)


def save(layout: Layout) -> None:
    layout.home.mkdir(parents=True, exist_ok=True)
    layout.file.write_bytes(msgspec.json.format(msgspec.json.encode(layout), indent=2))
