"""The process around the controllers: contend for the lease, and while leading run them all.

Every term begins with caches of its own, listed after the predecessor was fenced off: so they show all that it ever
wrote, and no decision rests on a time in which somebody else led.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from master.client.events import EventRecorder
from master.client.leaderelection import LeaderElector
from master.client.rest import RestClient
from master.controllers.base import Context, Controller
from master.controllers.config import ControllersConfig
from master.controllers.deployment.controller import DeploymentController
from master.controllers.endpoints import EndpointsController
from master.controllers.endpointslice import EndpointSliceController
from master.controllers.env import Env
from master.controllers.garbagecollector import GarbageCollector
from master.controllers.informers import Informers
from master.controllers.namespace import NamespaceController
from master.controllers.nodeipam import NodeIpamController
from master.controllers.nodelifecycle import NodeLifecycleController
from master.controllers.podgc import PodGarbageCollector
from master.controllers.replication import REPLICA_SETS, REPLICATION_CONTROLLERS, Replication
from master.controllers.rootca import RootCaController
from master.controllers.serviceaccount import ServiceAccountController
from master.controllers.tainteviction import TaintEvictionController

log = logging.getLogger(__name__)

COMPONENT = "kube-controller-manager"


def make_controllers(context: Context, config: ControllersConfig) -> list[Controller]:
    """All of them; adding a controller is adding a line."""
    controllers: list[Controller] = [
        DeploymentController(context),
        Replication(context, REPLICA_SETS),
        Replication(context, REPLICATION_CONTROLLERS),
        EndpointsController(context),
        EndpointSliceController(context),
        NodeLifecycleController(context, grace_s=config.node_grace_s),
        TaintEvictionController(context),
        NodeIpamController(context, cluster_cidr=config.cluster_cidr, node_mask=config.node_cidr_mask),
        NamespaceController(context),
        ServiceAccountController(context),
        GarbageCollector(context),
        PodGarbageCollector(context),
    ]
    if config.root_ca_file:
        root_ca = Path(config.root_ca_file).read_text(encoding="ascii")
        controllers.append(RootCaController(context, root_ca=root_ca))
    return controllers


async def run_term(
    client: RestClient, make: Callable[[Context], Sequence[Controller]], env: Env, *, host: str = ""
) -> None:
    """One term of leadership: until cancelled, or until a part fails (which ends the term: another may do better)."""
    events = EventRecorder(client, COMPONENT, host=host)
    informers = Informers(client)
    controllers = make(Context(client, informers, events, env))
    for controller in controllers:
        controller.attach()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(events.run())
        tasks.create_task(informers.run())
        await informers.wait_synced()
        log.info("caches are filled, %d controllers begin", len(controllers))
        for controller in controllers:
            tasks.create_task(controller.run())


async def run(config: ControllersConfig, env: Env | None = None) -> None:
    """For ever; cancellation releases the lease."""
    env = env or Env()
    client = RestClient(config.client, user_agent=COMPONENT)
    election = config.leader_election
    elector = LeaderElector(
        client,
        name=COMPONENT,
        identity=f"{config.name}_{env.suffix()}",
        lease_duration_s=election.lease_duration_s,
        renew_deadline_s=election.renew_deadline_s,
        retry_period_s=election.retry_period_s,
    )

    async def lead(epoch: int) -> None:
        # The term's own epoch, not the elector's latest: work that outlives its term must be refused.
        fenced = client.with_options(fence=lambda: f"{COMPONENT}={epoch}")
        await run_term(fenced, lambda context: make_controllers(context, config), env, host=config.name)

    try:
        await elector.run(lead)
    finally:
        await client.close()
