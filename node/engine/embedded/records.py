"""What the shim writes to disk of sandboxes and containers, so that a new shim finds everything again.

sandboxes/<id>/record.json     SandboxRecord, and the files its containers mount (hosts, resolv.conf, hostname)
containers/<id>/record.json    ContainerRecord: the order, as it was given
                run.json       Running: written by the minder once the process is there
                exit.json      Exited: written by the minder when it has ended
"""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from node.engine.base import ContainerSpec, ContainerState, SandboxSpec, SandboxState
from node.engine.embedded.fork import Process

T = TypeVar("T")

UNKNOWN_EXIT_CODE = 255
"""What Docker says too of containers whose end nobody saw (a power cut)."""


class SandboxRecord(msgspec.Struct, frozen=True):
    """`keeper` is our child; `pause` holds the namespaces (the same process, unless processes are shared)."""

    id: str
    spec: SandboxSpec
    group: str
    created_at: float
    keeper: Process
    pause: Process


class ContainerRecord(msgspec.Struct, frozen=True):
    id: str
    sandbox_id: str
    pod_uid: str
    spec: ContainerSpec
    image_id: str
    group: str
    created_at: float
    log_path: str


class Running(msgspec.Struct, frozen=True):
    """`terminal` and `feed` are numbers of the minder's descriptors, -1 without them: of the terminal, and of the end
    that feeds an input which is taken once."""

    minder: Process
    main: Process
    started_at: float
    terminal: int = -1
    feed: int = -1


class Exited(msgspec.Struct, frozen=True):
    exit_code: int
    finished_at: float
    oom_killed: bool = False
    reason: str = ""
    message: str = ""


def save(path: Path, record: msgspec.Struct) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(record))
    temporary.rename(path)


def load(path: Path, type: type[T]) -> T | None:
    """None for what was never written, or torn by a power cut."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def sandbox_state(record: SandboxRecord, *, running: bool) -> SandboxState:
    spec = record.spec
    return SandboxState(
        id=record.id,
        pod_uid=spec.pod_uid,
        name=spec.name,
        namespace=spec.namespace,
        attempt=spec.attempt,
        running=running,
        pid=record.pause.pid if running else 0,
        netns=f"/proc/{record.pause.pid}/ns/net" if running and not spec.host_network else "",
        created_at=record.created_at,
        labels=spec.labels,
    )


def container_state(record: ContainerRecord, running: Running | None, exited: Exited | None) -> ContainerState:
    spec = record.spec
    return ContainerState(
        id=record.id,
        sandbox_id=record.sandbox_id,
        pod_uid=record.pod_uid,
        name=spec.name,
        attempt=spec.attempt,
        image=spec.image,
        image_id=record.image_id,
        state="exited" if exited else "running" if running else "created",
        pid=running.main.pid if running and not exited else 0,
        exit_code=exited.exit_code if exited else None,
        oom_killed=bool(exited and exited.oom_killed),
        reason=_reason(exited) if exited else "",
        message=exited.message if exited else "",
        created_at=record.created_at,
        started_at=running.started_at if running else 0.0,
        finished_at=exited.finished_at if exited else 0.0,
        log_path=record.log_path,
        labels=spec.labels,
    )


def _reason(exited: Exited) -> str:
    return exited.reason or ("OOMKilled" if exited.oom_killed else "Error" if exited.exit_code else "Completed")
