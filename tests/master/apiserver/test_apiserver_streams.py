"""Logs, exec and attach through the API server to a kubelet: real kubectl, WebSocket and SPDY."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
import wsproto
from apiserver_certificates import TestAuthority
from apiserver_fake_kubelet import SUCCESS, FakeKubelet
from apiserver_harness import Caller, Kubectl, ServerThread
from apiserver_spdy_client import SpdyClient

PODS = "/api/v1/namespaces/default/pods"
TAKEN_MAX_BYTES = 64 * 1024 * 1024
"""All buffers between a client and a command that takes no input hold less."""
STUCK_S = 1.0


@pytest.fixture(scope="module")
def kubelet(authority: TestAuthority) -> Iterator[FakeKubelet]:
    kubelet = FakeKubelet(authority)
    kubelet.start()
    yield kubelet
    kubelet.stop()


@pytest.fixture(scope="module")
def pod(admin: Caller, kubelet: FakeKubelet) -> str:
    """A running pod on the fake kubelet's node, and one without a node."""
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }
    assert admin.post("/api/v1/nodes", {"metadata": {"name": "stream-node"}}).code == 201
    assert admin.patch("/api/v1/nodes/stream-node/status", {"status": status}).code == 200
    containers = [{"name": "c", "image": "i"}]
    spec = {"containers": containers, "nodeName": "stream-node"}
    assert admin.post(PODS, {"metadata": {"name": "streamer"}, "spec": spec}).code == 201
    assert admin.post(PODS, {"metadata": {"name": "homeless"}, "spec": {"containers": containers}}).code == 201
    assert admin.patch(f"{PODS}/streamer/status", {"status": {"phase": "Running"}}).code == 200
    return "streamer"


def test_logs_pass_through_with_their_options(admin: Caller, kubelet: FakeKubelet, pod: str) -> None:
    answer = admin.get(f"{PODS}/{pod}/log?tailLines=3&timestamps=true")
    assert answer.code == 200 and answer.headers["content-type"] == "text/plain"
    assert answer.body == b"line 0\nline 1\nline 2\n"
    assert kubelet.queries[-1] == {"tailLines": ["3"], "timestamps": ["true"]}


@pytest.mark.parametrize(
    ("word", "seen"), [("True", "true"), ("1", "true"), ("", "true"), ("False", "false"), ("0", "false")]
)
def test_flags_reach_the_kubelet_as_true_or_false(
    admin: Caller, kubelet: FakeKubelet, pod: str, word: str, seen: str
) -> None:
    """The official Python client writes `True`."""
    assert admin.get(f"{PODS}/{pod}/log?follow={word}&timestamps={word}").code == 200
    assert kubelet.queries[-1] == {"follow": [seen], "timestamps": [seen]}

    async def talk() -> None:
        url = f"https://127.0.0.1:{admin.port}{PODS}/{pod}/exec?command=ls&stdout=True&stderr={word}&tty={word}"
        connector = aiohttp.TCPConnector(ssl=admin.tls)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(url, protocols=("v4.channel.k8s.io",)) as channel,
        ):
            async for _ in channel:
                continue

    asyncio.run(talk())
    wanted = {"command": ["ls"], "stdout": ["true"], "stderr": [seen], "tty": [seen]}
    assert kubelet.queries[-1] == wanted


def test_the_kubelets_refusal_is_a_status(admin: Caller, pod: str) -> None:
    answer = admin.get(f"{PODS}/{pod}/log?previous=true")
    assert answer.code == 400 and answer.json["reason"] == "BadRequest"
    assert answer.json["message"] == 'previous terminated container "c" in pod "p" not found'


def test_a_pod_without_a_node_has_no_log(admin: Caller, pod: str) -> None:
    assert admin.get(f"{PODS}/homeless/log").code == 204


def test_kubectl_reads_logs_and_runs_commands(kubectl: Kubectl, pod: str) -> None:
    assert kubectl.ok("logs", pod) == "line 0\nline 1\nline 2\n"
    assert kubectl.ok("exec", pod, "--", "echo", "hello") == "echo hello"
    assert kubectl.ok("exec", "-i", pod, "--", "cat", stdin="through and back") == "through and back"
    failed = kubectl.run("exec", pod, "--", "exit", "3")
    assert failed.returncode == 3 and "leaving" in failed.stderr
    refused = kubectl.run("exec", "homeless", "--", "ls")
    assert refused.returncode == 1 and "pod homeless does not have a host assigned" in refused.stderr


def test_kubectl_falls_back_to_spdy(kubectl: Kubectl, pod: str) -> None:
    environment = {**kubectl.environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ["kubectl", "exec", *arguments]
        return subprocess.run(command, input=stdin, env=environment, capture_output=True, timeout=30)

    assert run(pod, "--", "echo", "hello").stdout == b"echo hello"
    big = os.urandom(1024 * 1024)
    assert run("-i", pod, "--", "cat", stdin=big).stdout == big
    failed = run(pod, "--", "exit", "7")
    assert failed.returncode == 7 and b"leaving" in failed.stderr
    refused = run(pod, "--", "missing")
    assert refused.returncode == 1 and b"container not running" in refused.stderr


@pytest.mark.parametrize(
    "offered", [("v5.channel.k8s.io",), ("v4.channel.k8s.io",), ("channel.k8s.io", "v4.channel.k8s.io")]
)
def test_the_subprotocol_is_the_first_that_both_speak(admin: Caller, pod: str, offered: tuple[str, ...]) -> None:
    async def talk() -> tuple[str | None, list[bytes]]:
        url = f"https://127.0.0.1:{admin.port}{PODS}/{pod}/exec?command=cat&stdin=true&stdout=true"
        connector = aiohttp.TCPConnector(ssl=admin.tls)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(url, protocols=offered) as channel,
        ):
            await channel.send_bytes(b"\x00ping")
            got: list[bytes] = []
            while b"\x01ping" not in got:
                got.append((await channel.receive(timeout=10)).data)
            await channel.send_bytes(b"\xff\x00")
            async for message in channel:
                got.append(message.data)
            return channel.protocol, got

    protocol, got = asyncio.run(talk())
    assert protocol == offered[-1]
    assert json.loads(got[-1][1:]) == SUCCESS and got[-1][:1] == b"\x03"


def test_errors_before_a_websocket_are_status_answers(admin: Caller, pod: str) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    answer = admin.call("GET", f"{PODS}/nobody/exec?command=ls&stdout=true", headers=headers)
    assert answer.code == 404 and answer.json["message"] == 'pods "nobody" not found'


def test_spdy_resizes_and_answers_pings(server: ServerThread, admin: Caller, pod: str) -> None:
    client = SpdyClient()
    plain = socket.create_connection(("127.0.0.1", server.config.port), timeout=10)
    with admin.tls.wrap_socket(plain) as connection:
        path = f"{PODS}/{pod}/exec?command=cat&stdin=true&stdout=true&tty=true"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        head += "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
        streams = b"".join(client.open(kind) for kind in ("error", "stdin", "stdout", "resize"))
        connection.sendall(head.encode() + streams)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536)
        assert answer.startswith(
            b"HTTP/1.1 101 "
        ) and b"X-Stream-Protocol-Version: v4.channel.k8s.io" in answer.title().replace(
            b"V4.Channel.K8S.Io", b"v4.channel.k8s.io"
        ).replace(b"Http/1.1", b"HTTP/1.1")
        frames: list[Any] = client.parse(answer.partition(b"\r\n\r\n")[2])
        connection.sendall(client.data(7, b'{"Width":80,"Height":24}') + client.data(3, b"", fin=True) + client.ping(9))
        while not (frames and frames[-1][1] == 1 and frames[-1][0] == "data"):
            data = connection.recv(65536)
            assert data, frames
            frames += client.parse(data)
        output = b"".join(data for kind, stream, data, _ in frames if (kind, stream) == ("data", 5))
        assert output == b'size {"Width":80,"Height":24}'
        assert json.loads(frames[-1][2]) == SUCCESS and frames[-1][3]


def websocket_into(connection: ssl.SSLSocket, path: str) -> bytes:
    """Begins an exec; a piece of its input."""
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    connection.sendall(client.send(wsproto.events.Request(host="x", target=path, subprotocols=["v5.channel.k8s.io"])))
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    client.receive_data(answer)
    assert isinstance(next(client.events()), wsproto.events.AcceptConnection), answer
    return client.send(wsproto.events.BytesMessage(b"\x00" + bytes(32768)))


def spdy_into(connection: ssl.SSLSocket, path: str) -> bytes:
    client = SpdyClient()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    head += "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
    connection.sendall(head.encode() + b"".join(client.open(kind) for kind in ("error", "stdin", "stdout")))
    return client.data(3, bytes(32768))


@pytest.mark.parametrize("begin", [websocket_into, spdy_into])
def test_a_client_that_vanishes_while_its_input_is_not_taken_ends_the_kubelets_stream(
    admin: Caller, kubelet: FakeKubelet, pod: str, begin: Callable[[ssl.SSLSocket, str], bytes]
) -> None:
    """`kubectl exec -i pod -- sleep 1000 < /dev/zero`, killed. Until then it waits: nothing hoards what it sends."""
    plain = socket.create_connection(("127.0.0.1", admin.port), timeout=10)
    with admin.tls.wrap_socket(plain) as connection:
        piece = begin(connection, f"{PODS}/{pod}/exec?command=sleep&stdin=true&stdout=true")
        taken = 0
        connection.settimeout(STUCK_S)
        with pytest.raises(TimeoutError):
            while taken < TAKEN_MAX_BYTES:
                connection.sendall(piece)
                taken += len(piece)
        assert not kubelet.abandoned.is_set()
    assert kubelet.abandoned.wait(10)
