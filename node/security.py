"""Whom a container runs as and what it may do: pod and container security contexts combined. Pure."""

import msgspec

from master.api.core.container import Container, SecurityContext
from master.api.core.pod import Pod, PodSecurityContext
from node.objects import ConfigError


class Identity(msgspec.Struct, frozen=True):
    """`user` empty: whatever the image says."""

    user: str = ""
    group: str = ""
    supplemental_groups: list[int] = []
    privileged: bool = False
    cap_add: list[str] = []
    cap_drop: list[str] = []
    read_only_root: bool = False
    no_new_privileges: bool = False


def identity(pod: Pod, container: Container, image_user: str) -> Identity:
    """Raises `ConfigError` when the pod must not run as root and would."""
    of_pod = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or SecurityContext()
    user = _first(own.run_as_user, of_pod.run_as_user)
    group = _first(own.run_as_group, of_pod.run_as_group)
    if _first(own.run_as_non_root, of_pod.run_as_non_root):
        _refuse_root(user, image_user, pod, container)
    groups = list(of_pod.supplemental_groups)
    if of_pod.fs_group is not None and of_pod.fs_group not in groups:
        groups.append(of_pod.fs_group)
    capabilities = own.capabilities
    return Identity(
        user="" if user is None else str(user),
        group="" if group is None else str(group),
        supplemental_groups=groups,
        privileged=bool(own.privileged),
        cap_add=[_capability(name) for name in capabilities.add] if capabilities is not None else [],
        cap_drop=[_capability(name) for name in capabilities.drop] if capabilities is not None else [],
        read_only_root=bool(own.read_only_root_filesystem),
        no_new_privileges=own.allow_privilege_escalation is False,
    )


def _refuse_root(user: int | None, image_user: str, pod: Pod, container: Container) -> None:
    meta = pod.metadata
    where = f'(pod: "{meta.name}_{meta.namespace}({meta.uid})", container: {container.name})'
    if user == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    if user is not None:
        return
    name = image_user.partition(":")[0]
    if name in ("", "0", "root"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not name.isdecimal():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )


def _capability(name: str) -> str:
    """`NET_ADMIN`, whether it was written with or without CAP_."""
    return name.upper().removeprefix("CAP_")


def _first(own: int | bool | None, of_pod: int | bool | None) -> int | None:
    return own if own is not None else of_pod
