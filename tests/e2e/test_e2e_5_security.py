"""Every door of the cluster, tried without a key."""

import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from e2e_cluster import Cluster, eventually

from cli.cluster import fabric

TIMEOUT_S = 5


def ask(url: str, cluster: Cluster, *, identity: str = "", data: bytes | None = None) -> tuple[int, str]:
    """Status and body; the server is verified, the client shows a certificate only when it names one."""
    context = ssl.create_default_context(cafile=str(cluster.layout.pki_dir / "ca.crt"))
    if identity:
        context.load_cert_chain(f"{identity}.crt", f"{identity}.key")
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version"])
def test_anybody_may_ask_for_health_and_version(cluster: Cluster, path: str) -> None:
    assert ask(cluster.layout.gateway_url + path, cluster)[0] == 200


@pytest.mark.parametrize("path", ["/api/v1/pods", "/api/v1/secrets", "/apis", "/metrics"])
def test_nobody_reads_without_a_name(cluster: Cluster, path: str) -> None:
    code, body = ask(cluster.layout.gateway_url + path, cluster)
    assert code in (401, 403), body
    assert json.loads(body)["kind"] == "Status"


def test_nobody_writes_without_a_name(cluster: Cluster) -> None:
    url = cluster.layout.gateway_url + "/api/v1/namespaces/default/configmaps"
    code, _ = ask(url, cluster, data=b'{"metadata": {"name": "anonymous"}}')
    assert code in (401, 403)
    assert cluster.run("kubectl", "get", "configmap", "anonymous").code == 1


def test_a_certificate_of_another_authority_is_no_name(cluster: Cluster, tmp_path: Path) -> None:
    stem = tmp_path / "stranger"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/O=system:masters/CN=me",
    ]
    subprocess.run([*command, "-keyout", f"{stem}.key", "-out", f"{stem}.crt"], check=True, capture_output=True)
    try:
        code, _ = ask(cluster.layout.gateway_url + "/api/v1/pods", cluster, identity=str(stem))
    except (urllib.error.URLError, OSError):
        return  # the handshake itself was refused
    assert code in (401, 403)


def test_the_api_speaks_no_plaintext(cluster: Cluster) -> None:
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen(f"http://{cluster.layout.host('master-1').address}:6443/livez", timeout=TIMEOUT_S).read()


def test_the_kubelet_answers_nobody_without_a_certificate(cluster: Cluster) -> None:
    url = f"https://{cluster.layout.host('node-1').address}:10250/pods"
    try:
        code, _ = ask(url, cluster)
    except (urllib.error.URLError, OSError):
        return  # the handshake itself was refused
    assert code in (401, 403)


def test_the_read_only_port_is_loopback_only_and_tells_no_secrets(cluster: Cluster) -> None:
    layout = cluster.layout
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen(f"http://{layout.host('node-1').address}:10255/pods", timeout=TIMEOUT_S)
    cluster.kubectl("run", "secretive", "--image=timonier/hello:1", "--env=PASSWORD=canary", "--", "sleep", "1000")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/secretive", "--timeout=60s")
    node = cluster.kubectl_json("get", "pod", "secretive")["spec"]["nodeName"]
    code = (
        "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:10255/pods', timeout=5).read().decode())"
    )

    def seen() -> str:
        pods = fabric.in_netns(layout.netns(node), ["python3", "-c", code])
        return pods if "secretive" in pods else ""

    assert "canary" not in eventually(seen, "the kubelet shows the pod")
    cluster.kubectl("delete", "pod", "secretive", "--now")


def test_the_store_accepts_members_only(cluster: Cluster) -> None:
    layout = cluster.layout
    context = ssl.create_default_context(cafile=str(layout.pki_dir / "store-ca.crt"))
    context.check_hostname = False
    for identity in ("", str(layout.pki_dir / "admin")):
        if identity:
            context.load_cert_chain(f"{identity}.crt", f"{identity}.key")
        code = _hello(layout.host("master-1").address, context)
        assert code == b"", "TLS 1.3 refuses a client after the handshake: nothing may be answered"


def _hello(address: str, context: ssl.SSLContext) -> bytes:
    try:
        with (
            socket.create_connection((address, 2380), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=address) as tls,
        ):
            tls.sendall(b"\x00\x00\x00\x04ping")
            return tls.recv(100)
    except OSError:
        return b""


def test_keys_and_sockets_are_private(cluster: Cluster) -> None:
    layout = cluster.layout
    keys = list(layout.home.rglob("*.key"))
    sockets = [layout.store_socket(host.name) for host in layout.master_hosts]
    assert keys and all(path.stat().st_mode & 0o077 == 0 for path in [*keys, *sockets, layout.kubeconfig])
