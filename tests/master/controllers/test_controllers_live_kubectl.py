"""What an operator does with a deployment, with the real kubectl."""

import asyncio
import shutil

import pytest
from controllers_kubelet import fake_nodes
from controllers_lab import ControlPlane, Kubectl, until
from test_controllers_live_workloads import complete, make_deployment

from master.api.apps.deployment import Deployment
from master.api.core.pod import Pod
from master.client.rest import RestClient

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


async def images(client: RestClient) -> set[str]:
    """Of the pods that stay: a rollout is complete while its last old pods still end."""
    pods = (await client.list(Pod, "kubectl")).items
    return {pod.spec.containers[0].image for pod in pods if pod.metadata.deletion_timestamp is None}


def test_rollout_status_history_undo_pause_and_scale(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("kubectl") as client, fake_nodes(client, ["k-1"], "kubectl"):
            kubectl = Kubectl(plane, "kubectl")
            await make_deployment(client, "kubectl")
            assert "successfully rolled out" in await kubectl.run("rollout", "status", "deployment/web")
            await kubectl.run("set", "image", "deployment/web", "web=web:2")
            assert "successfully rolled out" in await kubectl.run("rollout", "status", "deployment/web")
            history = await kubectl.run("rollout", "history", "deployment/web")
            assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
            await kubectl.run("rollout", "undo", "deployment/web")
            assert "successfully rolled out" in await kubectl.run("rollout", "status", "deployment/web")
            assert await images(client) == {"web:1"}
            await kubectl.run("rollout", "pause", "deployment/web")
            await kubectl.run("set", "image", "deployment/web", "web=web:3")
            await kubectl.run("scale", "deployment/web", "--replicas=5")

            async def scaled() -> bool:
                return (await client.get(Deployment, "web", "kubectl")).status.ready_replicas == 5

            await until(scaled, "five ready pods")
            assert await images(client) == {"web:1"}
            await kubectl.run("rollout", "resume", "deployment/web")
            assert "successfully rolled out" in await kubectl.run("rollout", "status", "deployment/web")
            deployment = await complete(client, "kubectl")
            assert deployment.metadata.annotations["deployment.kubernetes.io/revision"] == "4"

    asyncio.run(body())
