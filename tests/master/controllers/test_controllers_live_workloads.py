"""Deployments and replicas on a real control plane: the state that is reached, not the calls that were made."""

import asyncio

from controllers_kubelet import fake_nodes
from controllers_lab import ControlPlane, until

from master.api.apps.deployment import Deployment
from master.api.apps.replicaset import ReplicaSet
from master.api.core.configmap import ConfigMap
from master.api.core.endpoints import Endpoints
from master.api.core.namespace import Namespace
from master.api.core.pod import Pod
from master.api.core.replicationcontroller import ReplicationController
from master.api.core.service import Service
from master.api.core.serviceaccount import ServiceAccount
from master.api.discovery.endpointslice import EndpointSlice
from master.api.meta import ObjectMeta
from master.api.scheme import SCHEME
from master.api.status import NotFound
from master.client.rest import RestClient
from master.controllers.deployment.status import condition_of, is_complete
from master.controllers.owners import controller_of

LABELS = {"app": "web"}
TEMPLATE = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}]}]},
}


async def post(client: RestClient, kind: type, namespace: str, tree: dict) -> None:
    await client.request("POST", SCHEME.by_struct(kind).path(namespace), json_body=tree)


async def make_deployment(client: RestClient, namespace: str, *, replicas: int = 3, **spec: object) -> None:
    tree = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace}}
    tree["spec"] = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec}
    await post(client, Deployment, namespace, tree)


async def complete(client: RestClient, namespace: str) -> Deployment:
    async def done() -> Deployment | None:
        found = await client.get(Deployment, "web", namespace)
        return found if is_complete(found, found.status) else None

    return await until(done, "the rollout")


def test_a_deployment_becomes_a_replica_set_and_pods_with_the_right_owners(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("roll-a") as client, fake_nodes(client, ["a-1", "a-2"], "roll-a"):
            await make_deployment(client, "roll-a")
            deployment = await complete(client, "roll-a")
            (replica_set,) = (await client.list(ReplicaSet, "roll-a")).items
            owner = controller_of(replica_set)
            assert owner is not None and owner.uid == deployment.metadata.uid
            pods = (await client.list(Pod, "roll-a")).items
            assert len(pods) == 3
            assert {controller_of(pod).uid for pod in pods} == {replica_set.metadata.uid}  # type: ignore[union-attr]
            assert deployment.metadata.annotations["deployment.kubernetes.io/revision"] == "1"

            async def progressed() -> bool:
                found = await client.get(Deployment, "web", "roll-a")
                condition = condition_of(found.status.conditions, "Progressing")
                return condition is not None and condition.reason == "NewReplicaSetAvailable"

            await until(progressed, "the condition Progressing")

    asyncio.run(body())


def test_a_new_template_rolls_out_and_an_old_one_comes_back_under_a_new_revision(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("roll-b") as client, fake_nodes(client, ["b-1"], "roll-b"):
            await make_deployment(client, "roll-b")
            await complete(client, "roll-b")
            image = {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}
            await client.patch(Deployment, "web", "roll-b", {"spec": {"template": image}}, patch_type="strategic")
            second = await complete(client, "roll-b")
            assert second.metadata.annotations["deployment.kubernetes.io/revision"] == "2"
            image["spec"]["containers"][0]["image"] = "web:1"
            await client.patch(Deployment, "web", "roll-b", {"spec": {"template": image}}, patch_type="strategic")
            third = await complete(client, "roll-b")
            assert third.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
            sizes = {
                item.spec.template.spec.containers[0].image: item.spec.replicas
                for item in (await client.list(ReplicaSet, "roll-b")).items
            }
            assert sizes == {"web:1": 3, "web:2": 0}

    asyncio.run(body())


def test_recreate_starts_no_new_pod_while_an_old_one_lives(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("roll-c") as client, fake_nodes(client, ["c-1"], "roll-c"):
            await make_deployment(client, "roll-c", replicas=2, strategy={"type": "Recreate"})
            await complete(client, "roll-c")
            watch_from = (await client.list(Pod, "roll-c")).resource_version
            image = {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}
            await client.patch(Deployment, "web", "roll-c", {"spec": {"template": image}}, patch_type="strategic")
            await complete(client, "roll-c")
            deleted = 0
            async for event in client.watch(Pod, "roll-c", resource_version=watch_from, timeout_s=5):
                deleted += event.type == "DELETED"
                if event.type == "ADDED":
                    assert deleted == 2
                    break

    asyncio.run(body())


def test_deleting_a_deployment_takes_its_replica_sets_and_pods_along(plane: ControlPlane) -> None:
    async def body() -> None:
        for number, policy in enumerate(("Background", "Foreground")):
            space = f"gone-{number}"
            async with plane.namespace(space) as client, fake_nodes(client, [f"{space}-1"], space):
                await make_deployment(client, space)
                await complete(client, space)
                await client.delete(Deployment, "web", space, propagation=policy)

                async def nothing_left(client: RestClient = client, space: str = space) -> bool:
                    kinds: tuple[type, ...] = (Deployment, ReplicaSet, Pod)
                    return not any([(await client.list(kind, space)).items for kind in kinds])

                await until(nothing_left, f"the end of everything, {policy}")

    asyncio.run(body())


def test_orphaned_pods_live_on_and_are_adopted_again(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("orphans") as client, fake_nodes(client, ["o-1"], "orphans"):
            tree = {
                "apiVersion": "v1",
                "kind": "ReplicationController",
                "metadata": {"name": "rc"},
                "spec": {"replicas": 2, "selector": LABELS, "template": TEMPLATE},
            }
            await post(client, ReplicationController, "orphans", tree)

            async def ready() -> bool:
                return (await client.get(ReplicationController, "rc", "orphans")).status.ready_replicas == 2

            await until(ready, "two ready pods")
            before = {pod.metadata.uid for pod in (await client.list(Pod, "orphans")).items}
            await client.delete(ReplicationController, "rc", "orphans", propagation="Orphan")

            async def freed() -> bool:
                pods = (await client.list(Pod, "orphans")).items
                try:
                    await client.get(ReplicationController, "rc", "orphans")
                except NotFound:
                    return all(not pod.metadata.owner_references for pod in pods)
                return False

            await until(freed, "the pods' freedom")
            await post(client, ReplicationController, "orphans", tree)
            await until(ready, "adoption")
            after = {pod.metadata.uid for pod in (await client.list(Pod, "orphans")).items}
            assert after == before

    asyncio.run(body())


def test_a_service_has_its_ready_pods_as_endpoints_and_loses_them_with_the_pods(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("svc-a") as client, fake_nodes(client, ["s-1"], "svc-a"):
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": "http"}]},
            }
            await post(client, Service, "svc-a", service)
            await make_deployment(client, "svc-a")
            await complete(client, "svc-a")
            ips = {pod.status.pod_ip for pod in (await client.list(Pod, "svc-a")).items}

            async def slices_show(wanted: set[str]) -> bool:
                slices = (await client.list(EndpointSlice, "svc-a")).items
                ready = {a for s in slices for e in s.endpoints if e.conditions.ready for a in e.addresses}
                ports = {port.port for slice_ in slices for port in slice_.ports}
                return ready == wanted and ports <= {8080}

            async def endpoints_show(wanted: set[str]) -> bool:
                found = await client.get(Endpoints, "web", "svc-a")
                return {a.ip for subset in found.subsets for a in subset.addresses} == wanted

            await until(lambda: slices_show(ips), "slices")
            await until(lambda: endpoints_show(ips), "endpoints")
            await client.patch(Deployment, "web", "svc-a", {"spec": {"replicas": 0}})
            await until(lambda: slices_show(set()), "empty slices")
            await until(lambda: endpoints_show(set()), "empty endpoints")
            await client.delete(Service, "web", "svc-a")

            async def gone() -> bool:
                return (
                    not (await client.list(EndpointSlice, "svc-a")).items
                    + (await client.list(Endpoints, "svc-a")).items
                )

            await until(gone, "the end of slices and endpoints")

    asyncio.run(body())


def test_a_namespace_fills_itself_and_is_emptied_on_deletion(plane: ControlPlane) -> None:
    async def body() -> None:
        async with plane.namespace("full") as client, fake_nodes(client, ["f-1"], "full"):
            await until(lambda: client.get(ServiceAccount, "default", "full"), "the default account")
            root = await until(lambda: client.get(ConfigMap, "kube-root-ca.crt", "full"), "the root certificate")
            assert root.data["ca.crt"] == (plane.root / "ca.crt").read_text()
            await make_deployment(client, "full")
            await complete(client, "full")
            await client.create(ConfigMap(metadata=ObjectMeta(name="held", namespace="full", finalizers=["a.b/c"])))
            await client.delete(Namespace, "full")

            async def waits() -> bool:
                namespace = await client.get(Namespace, "full")
                return any(
                    c.type == "NamespaceFinalizersRemaining" and c.status == "True" for c in namespace.status.conditions
                )

            await until(waits, "the finalizer's condition")
            await client.patch(ConfigMap, "held", "full", {"metadata": {"finalizers": None}})

            async def gone() -> bool:
                return "full" not in {item.metadata.name for item in (await client.list(Namespace)).items}

            await until(gone, "the namespace's end")
            assert not (await client.list(Pod, "full")).items

    asyncio.run(body())
