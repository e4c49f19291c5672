"""What the controller manager is told at its start."""

import msgspec

from master.client.config import ClientConfig
from master.client.leaderelection import LEASE_DURATION_S, RENEW_DEADLINE_S, RETRY_PERIOD_S


class ElectionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The terms of leadership; see `master.client.leaderelection`."""

    lease_duration_s: float = LEASE_DURATION_S
    renew_deadline_s: float = RENEW_DEADLINE_S
    retry_period_s: float = RETRY_PERIOD_S


class ControllersConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file, JSON."""

    name: str
    client: ClientConfig
    leader_election: ElectionConfig = ElectionConfig()
    cluster_cidr: str
    node_cidr_mask: int = 24
    node_grace_s: float = 8.0
    root_ca_file: str = ""


def load_config(path: str) -> ControllersConfig:
    """Raises OSError, or msgspec.ValidationError which names the field."""
    with open(path, "rb") as file:
        return msgspec.json.decode(file.read(), type=ControllersConfig)
