"""Certificates verify against their authority only, and say what they are for."""

import subprocess
from pathlib import Path

import pytest
import yaml

from cli.cluster import certificates
from cli.cluster.layout import Layout


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(name="pki", masters=1, nodes=1, state_root=str(tmp_path_factory.mktemp("pki")))
    certificates.issue_all(layout)
    return layout


def verifies(certificate: Path, authority: Path) -> bool:
    done = subprocess.run(["openssl", "verify", "-CAfile", str(authority), str(certificate)], capture_output=True)
    return done.returncode == 0


def text_of(certificate: Path) -> str:
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-text"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_api_certificates_do_not_open_the_store(layout: Layout) -> None:
    ca, store_ca = layout.pki_dir / "ca.crt", layout.pki_dir / "store-ca.crt"
    assert verifies(layout.pki_dir / "admin.crt", ca) and not verifies(layout.pki_dir / "admin.crt", store_ca)
    store = layout.etc("master-1") / "store.crt"
    assert verifies(store, store_ca) and not verifies(store, ca)


def test_the_server_certificate_names_every_way_to_reach_it(layout: Layout) -> None:
    text = text_of(layout.etc("master-1") / "apiserver.crt")
    for name in ("127.0.0.1", layout.host("master-1").address, "10.96.0.1", "kubernetes.default.svc"):
        assert name in text
    assert "TLS Web Server Authentication" in text and "TLS Web Client Authentication" not in text


def test_a_node_is_named_as_kubernetes_names_it(layout: Layout) -> None:
    text = text_of(layout.etc("node-1") / "kubelet.crt")
    assert "system:node:node-1" in text and "system:nodes" in text


def test_keys_are_private(layout: Layout) -> None:
    keys = list(layout.home.rglob("*.key"))
    assert keys and all(key.stat().st_mode & 0o077 == 0 for key in keys)


def test_issuing_again_keeps_identities(layout: Layout) -> None:
    before = (layout.pki_dir / "admin.crt").read_bytes()
    certificates.issue_all(layout)
    assert (layout.pki_dir / "admin.crt").read_bytes() == before


def test_the_kubeconfig_has_a_context_through_the_gateway_and_one_per_master(layout: Layout) -> None:
    path = certificates.write_kubeconfig(layout)
    config = yaml.safe_load(path.read_text())
    assert [context["name"] for context in config["contexts"]] == [config["current-context"], "master-1"]
    assert config["clusters"][0]["cluster"]["server"] == layout.gateway_url
    assert path.stat().st_mode & 0o077 == 0
