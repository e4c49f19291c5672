"""What runs on a host: pure functions from the layout to configuration files and process lists."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from cli.cluster.layout import (
    API_PORT,
    CLUSTER_DOMAIN,
    DEFAULT_TOLERATION_S,
    KUBELET_PORT,
    KUBELET_READ_ONLY_PORT,
    SERVICE_CIDR,
    STORE_PEER_PORT,
    Host,
    Layout,
)

STOP_GRACE_S = 6.0
# An engine would wait for each container to end; here they end with their host, at once.
ENGINE_STOP_GRACE_S = 0.5
LEASE_RENEW_S = 2
NODE_GRACE_S = 8
NODE_PORT_RANGE = [30000, 32767]


class Process(msgspec.Struct, frozen=True):
    """One supervised process; `name` is also the name of its log file."""

    name: str
    argv: list[str]
    stop_grace_s: float = STOP_GRACE_S


class HostSpec(msgspec.Struct, frozen=True):
    """What a supervisor needs to run a host: processes in start order, and where to write."""

    host: str
    processes: list[Process]
    log_dir: str
    run_dir: str


def components(layout: Layout, host: Host) -> dict[str, dict[str, Any]]:
    """Component name → its configuration."""
    return _master_components(layout, host) if host.role == "master" else _node_components(layout, host)


def host_spec(layout: Layout, host: Host) -> HostSpec:
    """The supervisor's instructions for one host."""
    modules = {
        "raftstore": "raftstore",
        "apiserver": "master.apiserver",
        "scheduler": "master.scheduler",
        "controllers": "master.controllers",
        "kubelet": "node",
        "proxy": "proxy",
    }
    processes = [
        Process(name, [sys.executable, "-m", modules[name], "--config", str(config_file(layout, host, name))])
        for name in components(layout, host)
    ]
    if host.role == "node":
        processes.insert(0, _engine_process(layout, host))
    return HostSpec(host.name, processes, str(layout.logs(host.name)), str(layout.run(host.name)))


def config_file(layout: Layout, host: Host, component: str) -> Path:
    return layout.etc(host.name) / f"{component}.json"


def _master_components(layout: Layout, host: Host) -> dict[str, dict[str, Any]]:
    etc = layout.etc(host.name)
    ca = str(layout.pki_dir / "ca.crt")
    return {
        "raftstore": {
            "name": host.name,
            "data_dir": str(layout.data(host.name) / "store"),
            "peers": {h.name: f"{h.address}:{STORE_PEER_PORT}" for h in layout.master_hosts},
            "peer_tls": {**_pair(etc / "store"), "ca_file": str(layout.pki_dir / "store-ca.crt")},
            "client_socket": str(layout.store_socket(host.name)),
        },
        "apiserver": {
            "name": host.name,
            "bind_address": host.address,
            "port": API_PORT,
            "advertise_address": host.address,
            "tls": _pair(etc / "apiserver"),
            "client_ca_file": ca,
            "store_sockets": [f"unix:{layout.store_socket(host.name)}"],
            "service_cidr": SERVICE_CIDR,
            "node_port_range": NODE_PORT_RANGE,
            "cluster_dns_ip": layout.cluster_dns_ip,
            "cluster_domain": CLUSTER_DOMAIN,
            "default_toleration_s": DEFAULT_TOLERATION_S[layout.profile],
            "kubelet_client": {**_pair(etc / "kubelet-client"), "ca_file": ca},
        },
        "scheduler": {"name": host.name, "client": _client(layout, host, "scheduler")},
        "controllers": {
            "name": host.name,
            "client": _client(layout, host, "controllers"),
            "cluster_cidr": layout.cluster_cidr,
            "node_cidr_mask": 24,
            "node_grace_s": NODE_GRACE_S,
            "root_ca_file": ca,
        },
    }


def _node_components(layout: Layout, host: Host) -> dict[str, dict[str, Any]]:
    return {
        "kubelet": {
            "node_name": host.name,
            "address": host.address,
            "client": _client(layout, host, "kubelet"),
            "root_dir": str(layout.data(host.name) / "kubelet"),
            "engine": {"kind": layout.engine, "socket": str(layout.engine_socket(host.name))},
            "network": {"kind": "bridge"},
            "cluster_cidr": layout.cluster_cidr,
            "cluster_dns": [layout.cluster_dns_ip],
            "cluster_domain": CLUSTER_DOMAIN,
            "static_pod_dir": str(layout.etc(host.name) / "manifests"),
            "server_tls": _pair(layout.etc(host.name) / "kubelet-server"),
            "client_ca_file": str(layout.pki_dir / "ca.crt"),
            "cgroup_parent": layout.cgroup(host.name),
            "port": KUBELET_PORT,
            "read_only_port": KUBELET_READ_ONLY_PORT,
            "lease_renew_s": LEASE_RENEW_S,
        },
        "proxy": {
            "node_name": host.name,
            "address": host.address,
            "client": _client(layout, host, "proxy"),
            "cluster_cidr": layout.cluster_cidr,
            "service_cidr": SERVICE_CIDR,
            "dns": {"address": layout.cluster_dns_ip, "domain": CLUSTER_DOMAIN, "upstreams": []},
        },
    }


def _engine_process(layout: Layout, host: Host) -> Process:
    socket, data = layout.engine_socket(host.name), layout.data(host.name)
    if layout.engine == "embedded":
        argv = [sys.executable, "-m", "node.engine.embedded", "--socket", str(socket), "--root", str(data / "embedded")]
        return Process("engine", [*argv, "--cgroup-parent", layout.cgroup(host.name)], ENGINE_STOP_GRACE_S)
    argv = [sys.executable, "-m", "cli.cluster.dockerd", "--socket", str(socket), "--data-root", str(data / "docker")]
    argv += ["--exec-root", str(layout.run(host.name) / "docker")]
    return Process("engine", [*argv, "--cgroup-parent", layout.cgroup(host.name)], ENGINE_STOP_GRACE_S)


def _client(layout: Layout, host: Host, component: str) -> dict[str, Any]:
    """Masters ask their own API server first; nodes start at different ones, to spread the load."""
    servers = layout.api_servers
    first = int(host.name.rsplit("-", 1)[1]) - 1
    turned = servers[first % len(servers) :] + servers[: first % len(servers)]
    return {"servers": turned, "ca_file": str(layout.pki_dir / "ca.crt"), **_pair(layout.etc(host.name) / component)}


def _pair(stem: Path) -> dict[str, str]:
    return {"cert_file": f"{stem}.crt", "key_file": f"{stem}.key"}
