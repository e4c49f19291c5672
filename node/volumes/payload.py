"""A volume's content as data: relative path → bytes and mode. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import msgspec

from master.api.core.volumes import KeyToPath
from node.objects import ConfigError

DEFAULT_MODE = 0o644


class FileEntry(msgspec.Struct, frozen=True):
    data: bytes
    mode: int


Payload = dict[str, FileEntry]


def select_keys(
    data: Mapping[str, bytes], items: Sequence[KeyToPath], mode: int, *, what: str, optional: bool
) -> Payload:
    """All keys under their own names, or only the items, each under its path; `what` names the object in errors."""
    if not items:
        return {checked_path(key): FileEntry(value, mode) for key, value in data.items()}
    payload: Payload = {}
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise ConfigError(f"{what} references non-existent config key: {item.key}")
        payload[checked_path(item.path)] = FileEntry(data[item.key], mode if item.mode is None else item.mode)
    return payload


def checked_path(path: str) -> str:
    """The API refuses such paths too; a node does not take its word for what may escape from a volume."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise ConfigError(f"invalid path in volume: {path!r}")
    return path
