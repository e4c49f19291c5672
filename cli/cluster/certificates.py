"""Which certificates a cluster has, who they name, and the administrator's kubeconfig."""

import base64
from pathlib import Path
from typing import Any

import yaml

from cli.cluster.layout import CLUSTER_DOMAIN, Host, Layout
from cli.cluster.pki import CertificateAuthority

ADMIN = "kubernetes-admin"


def issue_all(layout: Layout) -> None:
    """Creates what is missing; existing certificates stay, so that a restarted cluster keeps its identities."""
    authority = CertificateAuthority(layout.pki_dir, "ca")
    authority.ensure(f"timonier-{layout.name}-ca")
    store_authority = CertificateAuthority(layout.pki_dir, "store-ca")
    store_authority.ensure(f"timonier-{layout.name}-store-ca")
    authority.issue(layout.pki_dir / "admin", common_name=ADMIN, organizations=["system:masters"], usage="client")
    for host in layout.master_hosts:
        _issue_master(layout, host, authority, store_authority)
    for host in layout.node_hosts:
        _issue_node(layout, host, authority)


def _issue_master(layout: Layout, host: Host, authority: CertificateAuthority, store: CertificateAuthority) -> None:
    folder = layout.etc(host.name)
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}"]
    authority.issue(
        folder / "apiserver",
        common_name="kube-apiserver",
        addresses=[host.address, "127.0.0.1", layout.gateway_address, layout.kubernetes_service_ip],
        names=[host.name, "localhost", *service],
        usage="server",
    )
    authority.issue(
        folder / "kubelet-client",
        common_name="kube-apiserver-kubelet-client",
        organizations=["system:masters"],
        usage="client",
    )
    authority.issue(folder / "scheduler", common_name="system:kube-scheduler", usage="client")
    authority.issue(folder / "controllers", common_name="system:kube-controller-manager", usage="client")
    store.issue(folder / "store", common_name=host.name, addresses=[host.address], names=[host.name], usage="peer")


def _issue_node(layout: Layout, host: Host, authority: CertificateAuthority) -> None:
    folder = layout.etc(host.name)
    authority.issue(
        folder / "kubelet-server",
        common_name=f"system:node:{host.name}",
        organizations=["system:nodes"],
        addresses=[host.address, "127.0.0.1"],
        names=[host.name],
        usage="server",
    )
    authority.issue(
        folder / "kubelet", common_name=f"system:node:{host.name}", organizations=["system:nodes"], usage="client"
    )
    authority.issue(folder / "proxy", common_name="system:kube-proxy", usage="client")


def write_kubeconfig(layout: Layout) -> Path:
    """The administrator's kubeconfig: the current context goes through the gateway, one more per master."""
    text = yaml.safe_dump(kubeconfig(layout), sort_keys=False)
    layout.kubeconfig.touch(mode=0o600)
    layout.kubeconfig.write_text(text)
    return layout.kubeconfig


def kubeconfig(layout: Layout) -> dict[str, Any]:
    """Contexts: `timonier` (any live master) and one named after each master."""
    ca = _base64(layout.pki_dir / "ca.crt")
    servers = {_context_name(layout): layout.gateway_url}
    servers |= {host.name: url for host, url in zip(layout.master_hosts, layout.api_servers, strict=True)}
    user = {
        "client-certificate-data": _base64(layout.pki_dir / "admin.crt"),
        "client-key-data": _base64(layout.pki_dir / "admin.key"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _context_name(layout),
        "clusters": [
            {"name": name, "cluster": {"server": url, "certificate-authority-data": ca}}
            for name, url in servers.items()
        ],
        "users": [{"name": ADMIN, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": ADMIN}} for name in servers],
    }


def _context_name(layout: Layout) -> str:
    return layout.prefix


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
