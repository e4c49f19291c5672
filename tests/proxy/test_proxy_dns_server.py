"""The DNS sockets: UDP, TCP, forwarding, and the address on the loopback device."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from proxy_lab import Lab
from test_proxy_dns_wire import Reply, query, zone

from proxy.config import DnsConfig
from proxy.dns.server import DnsServer, ensure_address, remove_address
from proxy.dns.wire import NXDOMAIN, REFUSED, SERVFAIL

ADDRESS = "127.0.0.1"
NAME = "kubernetes.default.svc.cluster.local"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((ADDRESS, 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def running(upstreams: list[str] | None = None) -> AsyncIterator[int]:
    port = free_port()
    server = DnsServer(DnsConfig(address=ADDRESS, port=port, upstreams=upstreams or []), zone())
    task = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(ADDRESS, port)
                    writer.close()
                    break
                await asyncio.sleep(0.01)
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask_udp(port: int, data: bytes, timeout_s: float = 5.0) -> Reply:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect((ADDRESS, port))
        await loop.sock_sendall(sock, data)
        async with asyncio.timeout(timeout_s):
            return Reply(await loop.sock_recv(sock, 4096))


async def ask_tcp(port: int, *queries: bytes) -> list[Reply]:
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    try:
        replies = []
        for data in queries:
            writer.write(len(data).to_bytes(2, "big") + data)
            async with asyncio.timeout(5):
                length = int.from_bytes(await reader.readexactly(2), "big")
                replies.append(Reply(await reader.readexactly(length)))
        return replies
    finally:
        writer.close()


def test_udp_and_tcp_answer_several_queries() -> None:
    async def scenario() -> None:
        async with running() as port:
            replies = await asyncio.gather(*(ask_udp(port, query(NAME, ident=i)) for i in range(50)))
            assert [r.id for r in replies] == list(range(50))
            assert all(r.addresses == ["10.96.0.1"] for r in replies)
            assert [r.addresses for r in await ask_tcp(port, query(NAME), query(NAME))] == [["10.96.0.1"]] * 2

    asyncio.run(scenario())


def test_without_upstreams_foreign_names_are_refused_and_bare_names_do_not_exist() -> None:
    async def scenario() -> None:
        async with running() as port:
            assert (await ask_udp(port, query("example.com"))).code == REFUSED
            assert (await ask_udp(port, query("kubernetes"))).code == NXDOMAIN
            assert (await ask_udp(port, query("9.9.9.9.in-addr.arpa", 12))).code == NXDOMAIN
            assert (await ask_tcp(port, query("example.com")))[0].code == REFUSED

    asyncio.run(scenario())


def test_foreign_names_go_to_the_first_upstream_that_answers() -> None:
    async def scenario() -> None:
        # A second server plays the upstream: its own zone answers what the first one refers.
        async with running() as upstream:
            dead = free_port()
            async with running([f"{ADDRESS}:{dead}", f"{ADDRESS}:{upstream}"]) as port:
                assert (await ask_udp(port, query("example.com", ident=99))).id == 99
                assert (await ask_udp(port, query("example.com"))).code == REFUSED
                assert (await ask_tcp(port, query("example.com")))[0].code == REFUSED
            async with running([f"{ADDRESS}:{dead}"]) as port:
                assert (await ask_udp(port, query("example.com"))).code == SERVFAIL

    asyncio.run(scenario())


def test_garbage_does_not_stop_the_server() -> None:
    async def scenario() -> None:
        async with running() as port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for data in (b"", b"x", bytes(12), b"\xff" * 600):
                    sock.sendto(data, (ADDRESS, port))
            assert (await ask_udp(port, query(NAME))).addresses

    asyncio.run(scenario())


def test_the_service_address_is_put_on_loopback_and_removed(node_lab: Lab) -> None:
    node_lab.on("node", lambda: ensure_address("10.96.0.10"))
    node_lab.on("node", lambda: ensure_address("10.96.0.10"))
    assert node_lab.command("node", "ip", "-4", "addr", "show", "dev", "lo").count("10.96.0.10/32") == 1
    node_lab.on("node", lambda: remove_address("10.96.0.10"))
    node_lab.on("node", lambda: remove_address("10.96.0.10"))
    assert "10.96.0.10" not in node_lab.command("node", "ip", "-4", "addr", "show", "dev", "lo")
