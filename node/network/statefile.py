"""Small state of the node's network on disk: one file, rewritten whole and atomically after each change."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_state(path: Path, type: type[T]) -> T | None:
    """None when there is none, or when a power cut has torn it: then no sandbox has survived either."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_state(path: Path, state: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(msgspec.json.encode(state))
    os.replace(temporary, path)
