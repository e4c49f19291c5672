"""Carries out a pod's steps on the engine: makes its sandbox, its volumes and its containers, and takes them down.

Knows how, never when or why: that is `lifecycle`. Every verb may be repeated.
"""

import asyncio
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from master.api.core.container import Container
from master.api.core.pod import Pod
from master.api.quantity import whole
from master.api.status import ApiError
from node.containerspec import Prepared, container_spec
from node.context import NodeContext
from node.engine.base import ContainerState, EngineError, LogSource, SandboxSpec, SandboxState, StartError
from node.env import references, resolve_env, service_variables
from node.facts import Waiting
from node.fields import PodFacts
from node.hostports import port_mappings
from node.images import Held, Present
from node.logs import LogOptions, read_log
from node.objects import ConfigError
from node.probing import run_hook
from node.resolv import hosts_file, parse_resolv_conf, pod_hostname, pod_resolver
from node.resources import pod_cgroup
from node.steps import StartContainer
from node.tokens import TokenCache
from node.volumes.setup import VolumeContext, clear_pod_folder, needed_token_keys, setup_volumes, volume_references

log = logging.getLogger(__name__)

HOST_RESOLV_CONF = Path("/etc/resolv.conf")
HOST_HOSTS = Path("/etc/hosts")
SERVICES_PATIENCE_S = 10.0
"""How long a container waits for the first list of services; without masters static pods must start anyway."""
MAX_MESSAGE_BYTES = 4096
"""Kubernetes' bound on a termination message."""
MAX_FALLBACK_BYTES = 2048
MAX_FALLBACK_LINES = 80
HOOK_FAILED_GRACE_S = 2.0
RUN_ERROR = "RunContainerError"


class StartFailed(Exception):
    """The container could not be started now; says what to show, and when to try again (0: when woken)."""

    def __init__(self, waiting: Waiting, wake_at_s: float = 0.0, *, counts: bool = True) -> None:
        super().__init__(waiting.message)
        self.waiting = waiting
        self.wake_at_s = wake_at_s
        self.counts = counts
        """Whether this was a failed attempt, rather than something still on its way."""


class PodExecutor:
    """The hands of one pod's worker."""

    def __init__(self, context: NodeContext, uid: str, tokens: TokenCache) -> None:
        self._context = context
        self._uid = uid
        self._tokens = tokens
        self._volumes: Mapping[str, Path] = {}

    @property
    def _folder(self) -> Path:
        return self._context.pod_folder(self._uid)

    # Before the containers.

    async def prepare_volumes(self, pod: Pod, pod_ip: str) -> None:
        """Raises `VolumeError`, or `ApiError` when the masters cannot be asked for what the volumes show."""
        context = self._context
        objects = await context.objects.fetch(pod.metadata.namespace, volume_references(pod))
        tokens = {key: await self._tokens.get(pod, key) for key in needed_token_keys(pod)}
        volume_context = VolumeContext(
            folder=self._folder / "volumes",
            facts=self.pod_facts(pod, pod_ip),
            objects=objects,
            tokens=tokens,
            stamp=f"{context.wall():.6f}".replace(".", "_"),
        )
        self._volumes = await asyncio.to_thread(setup_volumes, pod, volume_context)

    async def run_sandbox(self, pod: Pod, attempt: int) -> str:
        context, meta, spec = self._context, pod.metadata, pod.spec
        config = context.config
        host = parse_resolv_conf(_read(HOST_RESOLV_CONF))
        resolver = pod_resolver(pod, config.cluster_dns, config.cluster_domain, host)
        hosts = self.write_hosts(pod, "")
        security = spec.security_context
        order = SandboxSpec(
            pod_uid=meta.uid,
            name=meta.name,
            namespace=meta.namespace,
            attempt=attempt,
            hostname=pod_hostname(pod, config.node_name),
            dns_servers=resolver.servers,
            dns_search=resolver.searches,
            dns_options=resolver.options,
            host_network=spec.host_network,
            host_pid=spec.host_pid,
            host_ipc=spec.host_ipc,
            share_pid=bool(spec.share_process_namespace),
            labels={
                "io.kubernetes.pod.uid": meta.uid,
                "io.kubernetes.pod.name": meta.name,
                "io.kubernetes.pod.namespace": meta.namespace,
            },
            sysctls={each.name: each.value for each in security.sysctls} if security is not None else {},
            cgroup_parent=pod_cgroup(config.cgroup_parent, pod),
            hosts_file=str(hosts),
        )
        async with context.slots:
            return await context.engine.run_sandbox(order)

    def write_hosts(self, pod: Pod, pod_ip: str) -> Path:
        """In place, never by rename: containers hold the file itself."""
        path = self._folder / "etc-hosts"
        text = hosts_file(pod, pod_ip, self._context.config.cluster_domain, _read(HOST_HOSTS))
        path.parent.mkdir(parents=True, exist_ok=True)
        if _read(path) != text or not path.exists():
            path.write_text(text)
        return path

    async def attach(self, pod: Pod, sandbox: SandboxState) -> str:
        """The pod's address; the same one when the sandbox has it already."""
        network = await self._context.network.attach(sandbox)
        await self._context.host_ports.publish(sandbox.id, network.ip, port_mappings(pod))
        self.write_hosts(pod, network.ip)
        return network.ip

    # Containers.

    async def start(self, pod: Pod, step: StartContainer, sandbox_id: str, pod_ip: str) -> str:
        """The id of the running container; its postStart hook is still to come. Raises `StartFailed`."""
        container = find_container(pod, step.name)
        image = await self._image(pod, container)
        try:
            spec = container_spec(pod, container, step.attempt, await self._prepared(pod, step, image, pod_ip))
        except ConfigError as error:
            raise self._failed(pod, "CreateContainerConfigError", error) from error
        except (ApiError, TimeoutError) as error:
            raise self._failed(pod, "CreateContainerConfigError", error) from error
        engine, context = self._context.engine, self._context
        async with context.slots:
            try:
                container_id = await engine.create_container(sandbox_id, spec)
            except EngineError as error:
                raise self._failed(pod, "CreateContainerError", error) from error
            context.event(pod, "Normal", "Pulled", image.message)
            context.event(pod, "Normal", "Created", f"Created container: {container.name}")
            try:
                await engine.start_container(container_id)
            except StartError as error:
                raise self._failed(pod, RUN_ERROR, error) from error
        context.event(pod, "Normal", "Started", f"Started container {container.name}")
        return container_id

    async def _image(self, pod: Pod, container: Container) -> Present:
        def notify(type: str, reason: str, message: str) -> None:
            self._context.event(pod, type, reason, message)

        verdict = await self._context.images.ensure(
            self._uid, container.name, container.image, container.image_pull_policy, notify
        )
        if isinstance(verdict, Held):
            raise StartFailed(verdict.waiting, verdict.wake_at_s, counts=False)
        return verdict

    async def _prepared(self, pod: Pod, step: StartContainer, image: Present, pod_ip: str) -> Prepared:
        context, container = self._context, find_container(pod, step.name)
        objects = await context.objects.fetch(pod.metadata.namespace, references(container))
        env = resolve_env(container, self.pod_facts(pod, pod_ip), objects, await self._service_variables(pod))
        env.setdefault("HOSTNAME", pod_hostname(pod, context.config.node_name))
        log_folder = context.log_folder(pod) / container.name
        log_folder.mkdir(parents=True, exist_ok=True)
        message = self.termination_file(container.name, step.attempt)
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch(mode=0o666)
        message.chmod(0o666)  # whoever the container runs as may write its last words
        return Prepared(
            env=env,
            volumes=self._volumes,
            image_user=image.info.user,
            termination_file=message,
            log_path=log_folder / f"{step.attempt}.log",
            node_memory_bytes=whole(context.allocatable.get("memory", 0)),
        )

    async def _service_variables(self, pod: Pod) -> dict[str, str]:
        services = self._context.services
        try:
            await services.wait_synced(SERVICES_PATIENCE_S)
        except TimeoutError:
            log.info("pod %s starts without service variables: no master answers", pod.metadata.name)
        links = pod.spec.enable_service_links is not False
        return service_variables(services.list(), pod.metadata.namespace, links=links)

    async def post_start(self, pod: Pod, name: str, container_id: str, pod_ip: str) -> None:
        """A container whose hook fails is stopped; what follows is the restart policy's affair."""
        container = find_container(pod, name)
        assert container.lifecycle is not None and container.lifecycle.post_start is not None
        try:
            await run_hook(container.lifecycle.post_start, container, container_id, pod_ip, self._context.engine)
        except Exception as error:  # whatever broke the hook, the container must not go on without it
            self._context.event(pod, "Warning", "FailedPostStartHook", f"PostStartHook failed: {error}")
            await self._context.engine.stop_container(container_id, HOOK_FAILED_GRACE_S)

    async def stop(self, pod: Pod, state: ContainerState, grace_s: float, pod_ip: str, message: str) -> None:
        """preStop, then the signal, then the end: all within the grace period.

        Without a message it was begun before, and only has to end sooner now: no hook a second time."""
        context = self._context
        container = find_container_or_none(pod, state.name)
        handler = container.lifecycle.pre_stop if container is not None and container.lifecycle is not None else None
        if message:
            context.event(pod, "Normal", "Killing", message)
        began_s = context.clock()
        if handler is not None and container is not None and message and grace_s > 0:
            try:
                async with asyncio.timeout(grace_s):
                    await run_hook(handler, container, state.id, pod_ip, context.engine)
            except Exception as error:  # a hook that fails delays nothing: the container is stopped all the same
                context.event(pod, "Warning", "FailedPreStopHook", f"PreStopHook failed: {error or 'timed out'}")
            # A hook that took it all still leaves the process two seconds (the kubelet's rule).
            grace_s = max(2.0, grace_s - (context.clock() - began_s))
        await context.engine.stop_container(state.id, grace_s)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._detach(sandbox_id)
        await self._context.engine.stop_sandbox(sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._detach(sandbox_id)
        await self._context.engine.remove_sandbox(sandbox_id)

    async def _detach(self, sandbox_id: str) -> None:
        """The ports first: they must not lead to the address's next owner."""
        await self._context.host_ports.withdraw(sandbox_id)
        await self._context.network.detach(sandbox_id)

    # Afterwards.

    async def clear(self, pod: Pod) -> None:
        """Everything the pod had on the node's disk."""
        await asyncio.to_thread(clear_pod_folder, self._folder)
        await asyncio.to_thread(shutil.rmtree, self._context.log_folder(pod), ignore_errors=True)

    async def clear_volumes(self) -> None:
        """The pod has ended but stays for its logs."""
        await asyncio.to_thread(clear_pod_folder, self._folder)

    def termination_file(self, name: str, attempt: int) -> Path:
        return self._folder / "containers" / name / str(attempt)

    async def last_words(self, pod: Pod, state: ContainerState) -> str:
        """What the container left in its termination file, or the end of its log if it is to stand in for it."""
        text = _read(self.termination_file(state.name, state.attempt), MAX_MESSAGE_BYTES)
        container = find_container_or_none(pod, state.name)
        wants_log = container is not None and container.termination_message_policy == "FallbackToLogsOnError"
        if text or not wants_log or state.exit_code == 0:
            return text or state.message
        source: LogSource = await self._context.engine.logs(state.id)
        return await log_end(source)

    def pod_facts(self, pod: Pod, pod_ip: str) -> PodFacts:
        context = self._context
        return PodFacts(pod=pod, pod_ip=pod_ip, host_ip=context.config.address, allocatable=context.allocatable)

    def _failed(self, pod: Pod, reason: str, error: Exception) -> StartFailed:
        message = str(error) or type(error).__name__
        self._context.event(pod, "Warning", "Failed", f"Error: {message}")
        return StartFailed(Waiting(reason, message))


async def log_end(source: LogSource) -> str:
    """The last lines of a log, bounded as the kubelet bounds them."""

    async def over() -> bool:
        return True

    text = b""
    options = LogOptions(tail_lines=MAX_FALLBACK_LINES)
    async for chunk in read_log(Path(source.path), source.format, options, is_over=over):
        text = (text + chunk)[-MAX_FALLBACK_BYTES:]
    return text.decode(errors="replace")


def find_container_or_none(pod: Pod, name: str) -> Container | None:
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        if container.name == name:
            return container
    return None


def find_container(pod: Pod, name: str) -> Container:
    container = find_container_or_none(pod, name)
    assert container is not None, f"a step names container {name}, which the pod does not have"
    return container


def _read(path: Path, limit_bytes: int = 1024 * 1024) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes).decode(errors="replace")
    except FileNotFoundError:
        return ""
