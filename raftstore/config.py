"""A member's configuration file."""

import ipaddress
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from raftstore.errors import InvalidArgument
from raftstore.raft.seams import Tuning


class PeerTls(Struct, frozen=True, forbid_unknown_fields=True):
    """Certificates between members; a certificate's common name is its member's name."""

    cert_file: str
    key_file: str
    ca_file: str


class ProfileTimeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How patient the members are with each other."""

    election_ms: tuple[int, int] = (1000, 2000)
    heartbeat_ms: int = 100


class MemberConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Who this member is, whom it knows, and where it keeps its data."""

    name: str
    data_dir: str
    peers: dict[str, str]
    client_socket: str
    peer_tls: PeerTls | None = None
    profile_timeouts: ProfileTimeouts = ProfileTimeouts()
    tuning: Tuning = Tuning()
    """For tests and measurements; the times in it are overridden by `profile_timeouts`."""

    def raft_tuning(self) -> Tuning:
        """The Raft core's times and sizes."""
        shortest_ms, longest_ms = self.profile_timeouts.election_ms
        return msgspec.structs.replace(
            self.tuning,
            election_min_s=shortest_ms / 1000,
            election_max_s=longest_ms / 1000,
            heartbeat_s=self.profile_timeouts.heartbeat_ms / 1000,
        )


class Address(NamedTuple):
    """Where a member listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it can be reached from this machine only."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """`host:port`, or `[address]:port` for IPv6."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidArgument(f"{text!r} is not host:port")
    return Address(host.strip("[]"), int(port))


def load_config(path: Path) -> MemberConfig:
    """Read and check a configuration file."""
    try:
        config = msgspec.json.decode(path.read_bytes(), type=MemberConfig)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidArgument(f"configuration {path}: {error}") from error
    check_config(config)
    return config


def check_config(config: MemberConfig) -> None:
    """Refuse what cannot work or is not safe."""
    if config.name not in config.peers:
        raise InvalidArgument(f"member {config.name!r} is not among the peers")
    addresses = [parse_address(address) for address in config.peers.values()]
    if config.peer_tls is None and not all(address.is_loopback for address in addresses):
        raise InvalidArgument("peer_tls may be absent only when every peer is on the loopback interface")
    shortest_ms, longest_ms = config.profile_timeouts.election_ms
    heartbeat_ms = config.profile_timeouts.heartbeat_ms
    if not 0 < 3 * heartbeat_ms < shortest_ms < longest_ms:
        raise InvalidArgument("the election timeouts must be an ascending pair above three heartbeats")
