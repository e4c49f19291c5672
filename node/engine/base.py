"""The container engine's seam: what the kubelet asks of Docker, of the embedded engine, or of a fake.

A *sandbox* holds a pod's shared namespaces (network, IPC, host name) and lives as long as its pause process.
*Containers* join one sandbox. Everything is found again by labels and attempt numbers after any restart, so an
engine keeps no promise in memory: `list_sandboxes` and `list_containers` are the truth, events are only hints.

Rules every engine keeps (the conformance suite checks them):
- Ids are opaque. Stopping or removing what does not exist (any more) succeeds; other verbs raise `NotFound`.
- `stop_container` sends the image's stop signal, waits `grace_s`, then kills; it returns when the container has ended.
- `remove_container` and `remove_sandbox` end what runs; `remove_sandbox` removes its containers too.
- A container that ended keeps its state and log until it is removed.
- Capabilities this machine's bounding set lacks are left out silently, `oom_score_adj` is clamped; see `degradations`.
"""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from node.engine.errors import (
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    ImagePullError,
    InvalidContainer,
    NotFound,
    StartError,
)

__all__ = [
    "ContainerSpec",
    "ContainerState",
    "Engine",
    "EngineError",
    "EngineEvent",
    "EngineUnavailable",
    "ExecSession",
    "ImageInfo",
    "ImageNotFound",
    "ImagePullError",
    "InvalidContainer",
    "LogSource",
    "Mount",
    "NotFound",
    "SandboxSpec",
    "SandboxState",
    "StartError",
]

STDOUT = 1
STDERR = 2


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a pod's shared namespaces."""

    pod_uid: str
    name: str
    namespace: str
    attempt: int = 0
    hostname: str = ""
    dns_servers: list[str] = []
    dns_search: list[str] = []
    dns_options: list[str] = []
    host_network: bool = False
    """The namespace of the engine's daemon, which runs in the node's network namespace."""
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False
    """Containers see one another's processes (`shareProcessNamespace`)."""
    labels: dict[str, str] = {}
    sysctls: dict[str, str] = {}
    cgroup_parent: str = ""
    """The pod's cgroup ("/timonier/node-1/pod<uid>"); made where it is missing. "" means the daemon's default."""
    hosts_file: str = ""
    """A file on the node that every container of the pod sees as /etc/hosts; "" for the engine's own."""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder of the node inside the container; `source` must exist."""

    source: str
    target: str
    read_only: bool = False
    propagation: Literal["", "HostToContainer", "Bidirectional"] = ""


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a container. None for `command` or `args` means the image's."""

    name: str
    attempt: int = 0
    image: str
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[str] = []
    """`KEY=value` each; laid over the image's environment."""
    working_dir: str = ""
    mounts: list[Mount] = []
    cpu_shares: int = 0
    cpu_quota_us: int = 0
    """CPU time in each 100 ms; 0 means without limit."""
    memory_limit_bytes: int = 0
    pids_limit: int = 0
    user: str = ""
    """Name or number; "" means the image's."""
    group: str = ""
    supplemental_groups: list[int] = []
    privileged: bool = False
    cap_add: list[str] = []
    """Without the CAP_ prefix, as in Kubernetes; `ALL` is understood."""
    cap_drop: list[str] = []
    read_only_root: bool = False
    no_new_privileges: bool = False
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    """The end of the first attached client's input ends the container's."""
    log_path: str = ""
    """Where an engine that writes logs itself (embedded) puts them; its folder must exist."""
    labels: dict[str, str] = {}
    oom_score_adj: int = 0
    stop_signal: str = ""
    """`SIGINT`, …; "" means the image's, else SIGTERM."""


class SandboxState(msgspec.Struct, frozen=True, kw_only=True):
    """A sandbox as it is now; `netns` is "" when it does not run or has the node's network."""

    id: str
    pod_uid: str
    name: str
    namespace: str
    attempt: int
    running: bool
    pid: int = 0
    netns: str = ""
    created_at: float = 0.0
    labels: dict[str, str] = {}


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """A container as it is now. Times are seconds since the epoch, 0 when it has not happened."""

    id: str
    sandbox_id: str
    pod_uid: str
    name: str
    attempt: int
    image: str
    image_id: str
    state: Literal["created", "running", "exited"]
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    reason: str = ""
    """For exited: Completed, Error, OOMKilled, or StartError (`message` says why)."""
    message: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    log_path: str = ""
    labels: dict[str, str] = {}


class ImageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An image on this node. `id` is `sha256:…` of its configuration."""

    id: str
    tags: list[str] = []
    digests: list[str] = []
    size_bytes: int = 0
    user: str = ""


class LogSource(msgspec.Struct, frozen=True):
    """Where a container's log is and how its lines are written."""

    path: str
    format: Literal["cri", "docker-json"]


class EngineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened: a reason to look again, never a fact to rely on."""

    kind: Literal["started", "exited", "removed", "oom", "reconnected"]
    container_id: str = ""
    pod_uid: str = ""


class ExecSession(Protocol):
    """The streams of a process in a container (or of its main process, for attach)."""

    async def read(self) -> tuple[int, bytes] | None:
        """The next (STDOUT or STDERR, data); None when both have ended. With a tty all is STDOUT."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None: ...

    async def wait(self) -> int:
        """The exit code, once the process has ended (128 + signal when a signal killed it)."""
        ...

    async def close(self) -> None:
        """Lets go of the streams. Idempotent; call it always."""
        ...


class Engine(Protocol):
    """See the module's docstring for the rules. Every verb may raise `EngineError` and its kinds."""

    kind: str

    @property
    def degradations(self) -> list[str]:
        """What this machine does not allow, in words, for one Event at start."""
        ...

    async def version(self) -> str:
        """`docker://20.10.24`; also the way to ask whether the engine is alive."""
        ...

    async def run_sandbox(self, spec: SandboxSpec) -> str: ...

    async def stop_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_sandbox(self, sandbox_id: str) -> None: ...

    async def create_container(self, sandbox_id: str, spec: ContainerSpec) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, grace_s: float) -> None: ...

    async def remove_container(self, container_id: str) -> None: ...

    async def list_sandboxes(self) -> list[SandboxState]: ...

    async def list_containers(self) -> list[ContainerState]: ...

    async def pull_image(self, ref: str) -> str: ...

    async def image_status(self, ref: str) -> ImageInfo | None: ...

    async def list_images(self) -> list[ImageInfo]: ...

    async def load_image(self, archive: str) -> list[str]:
        """Takes in a `docker save` or OCI tar; returns the tags (or ids of what has none)."""
        ...

    async def remove_image(self, ref: str) -> None: ...

    async def exec(self, container_id: str, command: list[str], *, tty: bool, stdin: bool) -> ExecSession: ...

    async def attach(self, container_id: str, *, stdin: bool) -> ExecSession: ...

    async def logs(self, container_id: str) -> LogSource: ...

    def events(self) -> AsyncIterator[EngineEvent]:
        """Endless; reconnects by itself and then says `reconnected`."""
        ...

    async def close(self) -> None: ...
