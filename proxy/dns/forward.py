"""Asks upstream servers about names outside the cluster: one socket a query, so source port and id are unguessable."""

import asyncio
import logging
import secrets
import socket

LOG = logging.getLogger(__name__)
TRY_TIMEOUT_S = 2.0
MAX_OUTSTANDING = 256  # like dnsmasq's 150 and CoreDNS' 1000: beyond it clients get SERVFAIL at once
PORT = 53
_ANSWER_BYTES = 65_535


class Forwarder:
    """Upstreams are tried in order, each once."""

    def __init__(self, upstreams: list[str]) -> None:
        self._upstreams = [_split(text) for text in upstreams]
        self._outstanding = 0

    def __bool__(self) -> bool:
        return bool(self._upstreams)

    async def ask(self, query: bytes, *, over_tcp: bool) -> bytes | None:
        """The first upstream's answer under the client's id, or None."""
        if self._outstanding >= MAX_OUTSTANDING:
            return None
        self._outstanding += 1
        try:
            for upstream in self._upstreams:
                try:
                    async with asyncio.timeout(TRY_TIMEOUT_S):
                        return await (_ask_tcp if over_tcp else _ask_udp)(upstream, query)
                except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    LOG.debug("upstream %s: %s", upstream[0], error)
        finally:
            self._outstanding -= 1
        return None


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    return host, int(port) if port else PORT


async def _ask_udp(upstream: tuple[str, int], query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect(upstream)  # the kernel drops datagrams from anybody else
        own_id = secrets.token_bytes(2)
        await loop.sock_sendall(sock, own_id + query[2:])
        while True:
            data = await loop.sock_recv(sock, _ANSWER_BYTES)
            if data[:2] == own_id and len(data) > 2 and data[2] & 0x80:
                return query[:2] + data[2:]


async def _ask_tcp(upstream: tuple[str, int], query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*upstream)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)
    finally:
        writer.close()
