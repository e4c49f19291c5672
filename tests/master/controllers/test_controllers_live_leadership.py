"""Two controller managers: one acts, the other takes over, and one that was paused does no harm when it wakes."""

import asyncio
import signal

from controllers_kubelet import fake_nodes
from controllers_lab import ControlPlane, until
from test_controllers_live_workloads import complete, make_deployment

from master.api.apps.deployment import Deployment
from master.api.coordination.lease import Lease
from master.api.core.pod import Pod


def test_a_second_manager_takes_over_from_a_paused_one_which_then_does_no_harm(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("lead") as client, fake_nodes(client, ["l-1"], "lead"):
            await make_deployment(client, "lead")
            await complete(client, "lead")

            async def holder() -> str:
                lease = await client.get(Lease, "kube-controller-manager", "kube-system")
                return lease.spec.holder_identity or ""

            assert (await holder()).startswith("master-1_")
            first = plane.process("master.controllers")
            with plane.second_manager("master-2"):
                first.send_signal(signal.SIGSTOP)
                try:
                    await client.patch(Deployment, "web", "lead", {"spec": {"replicas": 5}})
                    await complete(client, "lead")
                    assert (await holder()).startswith("master-2_")
                finally:
                    first.send_signal(signal.SIGCONT)
                await client.patch(Deployment, "web", "lead", {"spec": {"replicas": 2}})
                await complete(client, "lead")
                assert (await holder()).startswith("master-2_")
                assert (
                    len([p for p in (await client.list(Pod, "lead")).items if not p.metadata.deletion_timestamp]) == 2
                )

            async def back() -> bool:
                return (await holder()).startswith("master-1_")

            await until(back, "the hand-over after an orderly stop")
            await client.patch(Deployment, "web", "lead", {"spec": {"replicas": 3}})
            await complete(client, "lead")

    asyncio.run(body())
