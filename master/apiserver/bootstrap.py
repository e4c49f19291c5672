"""The objects that every cluster has: the system's namespaces, the Services `kubernetes` and `kube-dns`.

Made through the same path as anybody's objects, by every API server, as often as it starts; what exists stays as it is.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterator
from typing import Any

from master.api.core.namespace import Namespace
from master.api.core.service import Service, ServicePort, ServiceSpec
from master.api.meta import Object, ObjectMeta
from master.api.scheme import SCHEME
from master.api.status import AlreadyExists, ApiError
from master.apiserver.authn import MASTERS, User
from master.apiserver.config import ServerConfig
from master.apiserver.context import Context
from master.apiserver.handlers.write import Write, create

log = logging.getLogger("apiserver.bootstrap")

SYSTEM_USER = User("system:apiserver", (MASTERS,))
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
RETRY_S = 1.0


def system_objects(config: ServerConfig) -> Iterator[Object]:
    for name in NAMESPACES:
        yield Namespace(metadata=ObjectMeta(name=name))
    first = str(ipaddress.ip_network(config.service_cidr)[1])
    https = ServicePort(name="https", port=443, protocol="TCP", target_port=config.port)
    labels = {"component": "apiserver", "provider": "kubernetes"}
    yield _service("default", "kubernetes", labels, first, [https])
    dns = [
        ServicePort(name="dns", port=53, protocol="UDP", target_port=53),
        ServicePort(name="dns-tcp", port=53, protocol="TCP", target_port=53),
    ]
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    yield _service("kube-system", "kube-dns", labels, config.cluster_dns_ip, dns)


def _service(namespace: str, name: str, labels: dict[str, str], address: str, ports: list[ServicePort]) -> Service:
    spec = ServiceSpec(cluster_ip=address, cluster_ips=[address], type="ClusterIP", ports=ports)
    return Service(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels), spec=spec)


async def bootstrap(context: Context) -> None:
    """Try until every object is there."""
    await context.feed.loaded.wait()
    for obj in system_objects(context.config):
        await _ensure(context, obj)
    context.bootstrapped.set()
    log.info("the system's own objects are there")


async def _ensure(context: Context, obj: Object) -> None:
    info = SCHEME.by_struct(type(obj))
    write = Write(context, info, obj.metadata.namespace, SYSTEM_USER)
    while True:
        try:
            await create(write, _copy_of(obj))
        except AlreadyExists:
            return
        except ApiError as error:
            log.warning("cannot create %s %s yet: %s", info.kind, obj.metadata.name, error.message)
            await asyncio.sleep(RETRY_S)
        else:
            return


def _copy_of(obj: Object) -> Callable[[], Any]:
    info = SCHEME.by_struct(type(obj))
    body = info.encode(obj)
    return lambda: info.decode(body)
