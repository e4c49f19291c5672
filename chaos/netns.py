"""Sockets that live in another network namespace. Only a short-lived thread enters it; the socket stays there."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def in_netns(path: Path, function: Callable[[], T]) -> T:
    """Runs a function inside a namespace (`/run/netns/NAME`); about 0.1 ms."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            _enter(path)
            results.append(function())
        except BaseException as error:  # carried over to the caller's thread and raised there
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, f"{path}: {os.strerror(code)}")
    finally:
        os.close(fd)
