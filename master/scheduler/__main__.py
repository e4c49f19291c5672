"""`python -m master.scheduler --config FILE`: contends for the lease and schedules while it leads."""

import argparse
import asyncio
import logging
import uuid

from master.client.leaderelection import LeaderElector
from master.client.process import until_signal
from master.client.rest import RestClient
from master.scheduler.config import SchedulerConfig
from master.scheduler.plugins.registry import default_framework
from master.scheduler.scheduler import Scheduler

LEASE = "kube-scheduler"


async def run(config: SchedulerConfig) -> None:
    """Until cancelled; then the lease is released."""
    election = config.leader_election
    client = RestClient(config.client, user_agent="kube-scheduler/timonier", fence=lambda: elector.fence())
    elector = LeaderElector(
        client,
        name=LEASE,
        identity=f"{config.name}_{uuid.uuid4().hex[:8]}",
        lease_duration_s=election.lease_duration_s,
        renew_deadline_s=election.renew_deadline_s,
        retry_period_s=election.retry_period_s,
    )
    scheduler = Scheduler(client, default_framework(), scheduler_name=config.scheduler_name)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scheduler.run())
            tasks.create_task(elector.run(scheduler.lead))
    finally:
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="master.scheduler", description=__doc__)
    parser.add_argument("--config", required=True, help="JSON file, see master/scheduler/config.py")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(until_signal(run(SchedulerConfig.load(arguments.config))))


if __name__ == "__main__":
    main()
