"""The sockets of cluster DNS: UDP and TCP at the service's own address, which stands on the loopback device.

Every node answers its own pods: no NAT, no conntrack entry, nothing to fail over to. The responder itself is `wire.py`.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import subprocess

from proxy.config import DnsConfig
from proxy.dns.forward import Forwarder
from proxy.dns.names import labels_of
from proxy.dns.wire import NXDOMAIN, REFUSED, SERVFAIL, Query, Refer, Zone, answer, refuse

LOG = logging.getLogger(__name__)
BURST = 64  # datagrams read at one wake-up, so that the loop's own cost is shared
RECEIVE_BUFFER_BYTES = 1 << 20
QUERY_BYTES = 4096
TCP_IDLE_S = 10.0
TCP_CONNECTIONS_MAX = 128
FORWARD_TASKS_MAX = 512
CHECK_ADDRESS_S = 5.0
COMMAND_TIMEOUT_S = 10.0


class DnsServer:
    """Serves one zone. `run` comes back by cancellation only; an address that cannot be had is tried again."""

    def __init__(self, config: DnsConfig, zone: Zone) -> None:
        self._config, self._zone = config, zone
        self._forwarder = Forwarder(config.upstreams)
        self._forwards: set[asyncio.Task[None]] = set()
        self._connections = 0
        self.answered = 0

    async def run(self) -> None:
        while True:
            try:
                await self._serve()
            except (OSError, subprocess.SubprocessError) as error:
                LOG.error("DNS at %s: %s; trying again", self._config.address, error)
                await asyncio.sleep(CHECK_ADDRESS_S)

    async def _serve(self) -> None:
        address, port = self._config.address, self._config.port
        ensure_address(address)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            udp.bind((address, port))
            server = await asyncio.start_server(self._serve_connection, address, port)
            loop.add_reader(udp.fileno(), self._read_burst, udp)
            LOG.info("DNS answers at %s:%d", address, port)
            try:
                while True:
                    await asyncio.sleep(CHECK_ADDRESS_S)
                    ensure_address(address)
            finally:
                loop.remove_reader(udp.fileno())
                server.close()

    def _read_burst(self, udp: socket.socket) -> None:
        for _ in range(BURST):
            try:
                data, client = udp.recvfrom(QUERY_BYTES)
            except OSError:  # nothing left, or an ICMP error of an earlier answer
                return
            reply = answer(data, self._zone, can_recurse=bool(self._forwarder))
            if isinstance(reply, Refer):
                self._refer(udp, client, data, reply.query)
            elif reply is not None:
                self.answered += 1
                _send(udp, reply, client)

    def _refer(self, udp: socket.socket, client: tuple[str, int], data: bytes, query: Query) -> None:
        if not self._forwarder or len(self._forwards) >= FORWARD_TASKS_MAX:
            _send(udp, self._own_word(query), client)
            return

        async def forward() -> None:
            reply = await self._forwarder.ask(data, over_tcp=False)
            _send(udp, reply or refuse(query, SERVFAIL), client)

        task = asyncio.get_running_loop().create_task(forward())
        self._forwards.add(task)
        task.add_done_callback(self._forwards.discard)

    def _own_word(self, query: Query) -> bytes:
        """About a name outside the cluster. Without upstreams a bare name or a reverse one surely does not exist;
        of others we cannot know."""
        if self._forwarder:
            return refuse(query, SERVFAIL)
        labels = labels_of(query.name)
        return refuse(query, NXDOMAIN if len(labels) == 1 or labels[-1:] == [b"arpa"] else REFUSED)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= TCP_CONNECTIONS_MAX:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(length)
                    reply = await self._answer_stream(data)
                    if reply is None:
                        return
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # the client went, or said nothing for too long
        finally:
            self._connections -= 1
            writer.close()

    async def _answer_stream(self, data: bytes) -> bytes | None:
        reply = answer(data, self._zone, over_tcp=True, can_recurse=bool(self._forwarder))
        if not isinstance(reply, Refer):
            return reply
        if not self._forwarder:
            return self._own_word(reply.query)
        return await self._forwarder.ask(data, over_tcp=True) or refuse(reply.query, SERVFAIL)


def _send(udp: socket.socket, reply: bytes, client: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):  # a full buffer or a closed socket loses a datagram, as UDP may
        udp.sendto(reply, client)


def ensure_address(address: str) -> None:
    """Put the address on `lo` unless this namespace has it; raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
            return
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    _ip("link", "set", "lo", "up")
    _ip("address", "replace", f"{address}/32", "dev", "lo")


def remove_address(address: str) -> None:
    """The opposite; no error when it is not there."""
    with contextlib.suppress(OSError):
        _ip("address", "del", f"{address}/32", "dev", "lo")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
