"""The shim: what the embedded engine of a node keeps and does. One thread, one process, no daemon behind it.

    kubelet ─ socket ─ shim ┬─ keeper/pause of each sandbox         (namespaces, see sandbox.py)
                            └─ minder of each container ─ program   (see minder.py, launch.py)

Neither kubelet nor shim is needed for containers to run: what must survive is on disk (records.py) and in the minders.
A shim that starts reads the disk, adopts what lives and takes note of what ended.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import time
import uuid
from pathlib import Path

from node import cgroups
from node.engine import capabilities
from node.engine.base import ContainerSpec, ContainerState, EngineEvent, SandboxSpec, SandboxState
from node.engine.embedded import sandbox
from node.engine.embedded.container import Container
from node.engine.embedded.execution import Execution
from node.engine.embedded.fork import fork, identify, read_report, wait_exit
from node.engine.embedded.images import ImageStore
from node.engine.embedded.plan import DEFAULT_STOP_SIGNAL, NoCommand, Plan, Surroundings, make_plan
from node.engine.embedded.records import ContainerRecord, SandboxRecord, load, sandbox_state, save
from node.engine.embedded.users import UnknownUser
from node.engine.errors import InvalidContainer, NotFound, StartError

log = logging.getLogger(__name__)

KILL_TIMEOUT_S = 10.0
KILL_POLL_S = 0.01
REMOVE_TRIES = 100
# Watchers that lag behind lose hints, never facts: the kubelet lists every second.
MAX_PENDING_EVENTS = 256

EventQueue = asyncio.Queue[EngineEvent]


class Shim:
    """All verbs of the engine; the server translates requests into calls."""

    def __init__(self, root: Path, group: str, *, runc: str) -> None:
        self._sandboxes_dir, self._containers_dir = root / "sandboxes", root / "containers"
        for folder in (self._sandboxes_dir, self._containers_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._group = group
        self._runc = runc
        self._cgroups = cgroups.detect()
        self._allowed = capabilities.bounding_set()
        self._oom_floor = -1000 if "SYS_RESOURCE" in self._allowed else capabilities.own_oom_score_adj()
        self._sandboxes: dict[str, SandboxRecord] = {}
        self._containers: dict[str, Container] = {}
        self._watchers: set[EventQueue] = set()
        self._reapers: set[asyncio.Task[int | None]] = set()
        self.images = ImageStore(root)

    @property
    def degradations(self) -> list[str]:
        return capabilities.degradations(self._allowed)

    def adopt(self) -> None:
        """Everything an earlier shim left; half-made containers and sandboxes are removed."""
        for folder in sorted(self._sandboxes_dir.iterdir()):
            record = load(folder / "record.json", SandboxRecord)
            if record is None:
                sandbox.remove_folder(folder)
            else:
                self._sandboxes[record.id] = record
                self._reap_later(record.keeper.pid) if record.keeper.exists() else None
        for folder in sorted(self._containers_dir.iterdir()):
            found = load(folder / "record.json", ContainerRecord)
            if found is None:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            container = self._containers[found.id] = Container(folder, found, self._ended)
            if container.is_running:
                container.adopt()
        log.info("%d sandboxes and %d containers found", len(self._sandboxes), len(self._containers))

    # Sandboxes.

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        sandbox_id = _new_id()
        folder = self._sandboxes_dir / sandbox_id
        group = spec.cgroup_parent or f"{self._group}/pod{spec.pod_uid}"
        sandbox.write_files(spec, folder)
        sandbox.mount_shm(folder)
        report_in, report_out = os.pipe()
        leaf = f"{group}/{sandbox_id}"
        pid = fork(lambda: sandbox.keep(spec, folder, leaf, report_out), {report_out})
        os.close(report_out)
        report = await read_report(report_in)
        if report and not report.isdigit():
            await wait_exit(pid)
            self._cgroups.remove(leaf)
            sandbox.remove_folder(folder)
            raise StartError(report.decode(errors="replace"))
        pause = int(report or pid)
        record = SandboxRecord(sandbox_id, spec, group, time.time(), identify(pid), identify(pause))
        save(folder / "record.json", record)
        self._sandboxes[sandbox_id] = record
        self._reap_later(pid)
        return sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        record = self._sandboxes.get(sandbox_id)
        if record is None:
            return
        await asyncio.gather(*(each.stop("SIGKILL", 0) for each in self._members(sandbox_id)))
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while record.pause.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pause.pid, signal.SIGKILL)
            await asyncio.sleep(KILL_POLL_S)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        record = self._sandboxes.get(sandbox_id)
        if record is None:
            return
        await self.stop_sandbox(sandbox_id)
        for container in self._members(sandbox_id):
            await self.remove_container(container.record.id)
        await self._remove_group(f"{record.group}/{sandbox_id}")
        # Another sandbox of the pod may still live in it.
        if not any(other.group == record.group for other in self._sandboxes.values() if other.id != sandbox_id):
            await self._remove_group(record.group)
        sandbox.remove_folder(self._sandboxes_dir / sandbox_id)
        del self._sandboxes[sandbox_id]

    def list_sandboxes(self) -> list[SandboxState]:
        return [sandbox_state(record, running=record.pause.is_alive()) for record in self._sandboxes.values()]

    # Containers.

    def create_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        """Checks everything that can be checked before a process exists."""
        record = self._sandbox(sandbox_id)
        container_id = _new_id()
        folder = self._containers_dir / container_id
        image = self.images.find(spec.image)
        for mount in spec.mounts:
            if not os.path.exists(mount.source):
                raise InvalidContainer(f"mount source {mount.source} does not exist")
        made = ContainerRecord(
            id=container_id,
            sandbox_id=sandbox_id,
            pod_uid=record.spec.pod_uid,
            spec=spec,
            image_id=image.id,
            group=f"{record.group}/{container_id}",
            created_at=time.time(),
            log_path=spec.log_path or str(folder / "container.log"),
        )
        self._plan(made, record, folder)
        folder.mkdir(mode=0o700)
        save(folder / "record.json", made)
        self._containers[container_id] = Container(folder, made, self._ended)
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._container(container_id)
        if container.is_running:
            return
        if container.exited:
            raise StartError("a container that has ended is not started again")
        record = self._sandbox(container.record.sandbox_id)
        if not record.pause.is_alive():
            raise StartError("the sandbox has ended")
        await container.start(self._plan(container.record, record, container.folder), self._runc)
        self._tell("started", container)

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        container = self._containers.get(container_id)
        if container is not None:
            image = self.images.find(container.record.image_id) if grace_s > 0 else None
            of_image = image.config.stop_signal if image else None
            await container.stop(container.record.spec.stop_signal or of_image or DEFAULT_STOP_SIGNAL, grace_s)

    async def remove_container(self, container_id: str) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        await container.stop("SIGKILL", 0)
        await self._remove_group(container.record.group)
        container.remove()
        self._containers.pop(container_id, None)
        self._tell("removed", container)

    def list_containers(self) -> list[ContainerState]:
        return [container.state() for container in self._containers.values()]

    def log_path(self, container_id: str) -> str:
        return self._container(container_id).record.log_path

    def remove_image(self, ref: str) -> None:
        self.images.remove(ref, in_use={container.record.image_id for container in self._containers.values()})

    # Streams.

    def running(self, container_id: str) -> Container:
        container = self._container(container_id)
        if not container.is_running:
            raise NotFound(f"container {container_id[:12]} is not running")
        return container

    def execution(self, container_id: str, command: list[str], *, tty: bool) -> Execution:
        container = self.running(container_id)
        assert container.running is not None
        assert container.plan is not None
        return Execution(container.plan, container.running.main.pid, command, tty)

    def watch(self) -> EventQueue:
        queue: EventQueue = asyncio.Queue(MAX_PENDING_EVENTS)
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: EventQueue) -> None:
        self._watchers.discard(queue)

    # Inside.

    def _plan(self, made: ContainerRecord, record: SandboxRecord, folder: Path) -> Plan:
        image = self.images.find(made.image_id)
        around = Surroundings(
            id=made.id,
            folder=str(folder),
            layers_dir=str(self.images.layers),
            layers=image.layers,
            image=image.config,
            passwd=self.images.read_file(image, "etc/passwd"),
            groups=self.images.read_file(image, "etc/group"),
            sandbox=record.spec,
            sandbox_pid=record.pause.pid,
            sandbox_folder=str(self._sandboxes_dir / record.id),
            group=made.group,
            allowed=self._allowed,
            oom_floor=self._oom_floor,
            has_device_guard=bool(self._runc) or self._cgroups.version == 1,
        )
        try:
            return make_plan(made.spec, around)
        except (UnknownUser, NoCommand, capabilities.UnknownCapability) as error:
            raise InvalidContainer(str(error)) from error

    def _ended(self, container: Container) -> None:
        self._tell("oom" if container.exited and container.exited.oom_killed else "exited", container)

    def _tell(self, kind: str, container: Container) -> None:
        event = EngineEvent(kind=kind, container_id=container.record.id, pod_uid=container.record.pod_uid)  # type: ignore[arg-type]
        for queue in self._watchers:
            if not queue.full():
                queue.put_nowait(event)

    def _members(self, sandbox_id: str) -> list[Container]:
        return [each for each in self._containers.values() if each.record.sandbox_id == sandbox_id]

    def _sandbox(self, sandbox_id: str) -> SandboxRecord:
        if sandbox_id not in self._sandboxes:
            raise NotFound(f"no such sandbox: {sandbox_id}")
        return self._sandboxes[sandbox_id]

    def _container(self, container_id: str) -> Container:
        if container_id not in self._containers:
            raise NotFound(f"no such container: {container_id}")
        return self._containers[container_id]

    def _reap_later(self, pid: int) -> None:
        """A keeper that ends must not stay a zombie."""
        task = asyncio.create_task(wait_exit(pid), name=f"keeper {pid}")
        self._reapers.add(task)
        task.add_done_callback(self._reapers.discard)

    async def _remove_group(self, group: str) -> None:
        """What was just killed needs a moment to leave its cgroup."""
        for _ in range(REMOVE_TRIES):
            for pid in self._cgroups.pids(group):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self._cgroups.remove(group):
                return
            await asyncio.sleep(KILL_POLL_S)
        log.warning("cgroup %s cannot be removed", group)


def _new_id() -> str:
    """Sixty-four hexadecimal digits, like everybody's container ids."""
    return uuid.uuid4().hex + uuid.uuid4().hex
