"""Writes a payload into a folder so that readers see the old content or the new, never a mixture.

The files lie in a folder `..<time>`, the link `..data` points at it, and each visible name is a link through `..data`.
An update writes a new folder and renames a new link over `..data`: one atomic step (upstream's own layout, which
programs that watch their configuration rely on).
"""

import os
import shutil
from pathlib import Path

from node.volumes.payload import Payload

DATA = "..data"
DATA_NEW = "..data_tmp"


def write_payload(folder: Path, payload: Payload, group: int | None, stamp: str) -> bool:
    """Whether anything changed. `stamp` names the new version; `group` is the pod's fsGroup."""
    current = folder / DATA
    if current.exists() and _holds(current, payload, group):
        return False
    version = folder / f"..{stamp}"
    shutil.rmtree(version, ignore_errors=True)  # left over by a crash within the same instant
    version.mkdir(mode=0o755)
    _chgrp(version, group)
    for path, entry in payload.items():
        target = version / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(entry.data)
        os.chmod(target, mode_for(entry.mode, group))  # not at creation: the umask must not have a say
        _chgrp(target, group)
    old = os.readlink(current) if current.is_symlink() else ""
    _point(folder, version.name)
    _link_names(folder, {path.split("/")[0] for path in payload})
    if old and old != version.name:
        shutil.rmtree(folder / old, ignore_errors=True)
    return True


def mode_for(mode: int, group: int | None) -> int:
    """With an fsGroup the group may read what the owner may."""
    return mode if group is None else mode | 0o040


def _holds(current: Path, payload: Payload, group: int | None) -> bool:
    present = {str(path.relative_to(current.resolve())) for path in current.resolve().rglob("*") if path.is_file()}
    if present != set(payload):
        return False
    return all(
        (current / path).read_bytes() == entry.data
        and (current / path).stat().st_mode & 0o7777 == mode_for(entry.mode, group)
        for path, entry in payload.items()
    )


def _point(folder: Path, version: str) -> None:
    new = folder / DATA_NEW
    new.unlink(missing_ok=True)
    new.symlink_to(version)
    new.rename(folder / DATA)


def _link_names(folder: Path, names: set[str]) -> None:
    for name in names:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    for link in folder.iterdir():
        if not link.name.startswith("..") and link.name not in names and link.is_symlink():
            link.unlink()


def _chgrp(path: Path, group: int | None) -> None:
    if group is not None:
        os.chown(path, -1, group)
