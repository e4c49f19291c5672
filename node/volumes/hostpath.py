"""`hostPath`: a file or folder of the node itself, checked for the type that was asked for."""

import stat
from pathlib import Path

from master.api.core.volumes import HostPathVolumeSource
from node.objects import ConfigError

_CHECKS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def find(source: HostPathVolumeSource) -> Path:
    path, wanted = Path(source.path), source.type or ""
    if wanted == "DirectoryOrCreate" and not path.exists():
        path.mkdir(mode=0o755, parents=True)
    if wanted == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if not wanted and not path.exists():
        path.mkdir(mode=0o755, parents=True)  # what a container engine does with a missing bind source
    base = wanted.removesuffix("OrCreate")
    if base in _CHECKS:
        is_right, name = _CHECKS[base]
        if not path.exists() or not is_right(path.stat().st_mode):
            raise ConfigError(f"hostPath type check failed: {source.path} is not a {name}")
    return path
