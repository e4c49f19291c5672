"""The scheduler's configuration file."""

from pathlib import Path

import msgspec

from master.client.config import ClientConfig
from master.client.leaderelection import LEASE_DURATION_S, RENEW_DEADLINE_S, RETRY_PERIOD_S


class LeaderElectionConfig(msgspec.Struct, frozen=True, kw_only=True):
    lease_duration_s: float = LEASE_DURATION_S
    renew_deadline_s: float = RENEW_DEADLINE_S
    retry_period_s: float = RETRY_PERIOD_S


class SchedulerConfig(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    client: ClientConfig
    leader_election: LeaderElectionConfig = LeaderElectionConfig()
    scheduler_name: str = "default-scheduler"

    @classmethod
    def load(cls, path: str) -> "SchedulerConfig":
        return msgspec.json.decode(Path(path).read_bytes(), type=cls)
