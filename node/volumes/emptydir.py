"""`emptyDir`: a folder that lives and dies with the pod, on disk or in memory."""

import os
from pathlib import Path

from master.api.core.volumes import EmptyDirVolumeSource
from master.api.quantity import whole
from node.volumes.tmpfs import mount_tmpfs

MODE = 0o777


def make(folder: Path, source: EmptyDirVolumeSource) -> Path:
    if source.medium == "Memory":
        mount_tmpfs(folder, size_bytes=whole(source.size_limit) if source.size_limit is not None else 0, mode=MODE)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_mode & MODE != MODE:
        os.chmod(folder, MODE)  # not by mkdir: the umask must not have a say
    return folder
