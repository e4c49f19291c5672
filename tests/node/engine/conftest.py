"""Engines to test: a private dockerd, and the embedded engine's shim with and without runc; all under one tmp folder.

Everything that was started is ended again, and the session fails if mounts are left behind.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from enginedaemons import Daemon, make_daemon, mounts_below

from node.engine.imagebuild import BUSYBOX, ImageConfig, busybox_root, write_archive

BOX = "test/box:1"
APPLETS = (
    *("sh", "cat", "echo", "env", "false", "grep", "hostname", "id", "kill", "ls", "nc", "ps", "pwd", "readlink"),
    *("sleep", "stat", "stty", "test", "touch", "true", "tty", "wc", "yes", "head", "dd", "mount", "mknod", "ip"),
)


@pytest.fixture(scope="session", params=["docker", "embedded-python", "embedded-runc"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    # Short: a unix socket's path has 107 characters, and dockerd puts several below its folder.
    folder = tmp_path_factory.mktemp(request.param[-6:])
    daemon = make_daemon(request.param, folder)
    try:
        daemon.start()
        yield daemon
        with contextlib.suppress(OSError):
            daemon.stop()
        left = [mount for mount in mounts_below(folder) if "/exec/" not in mount and not mount.endswith("/overlay2")]
        left = [mount for mount in left if not mount.endswith("/data")]
        assert left == [], f"mounts left behind: {left}"
    finally:
        daemon.clear()


@pytest.fixture(scope="session")
def box_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a shell, an entrypoint-less command, an environment and a working directory."""
    files = busybox_root(BUSYBOX.read_bytes(), APPLETS) | {"srv/greeting": b"hello from the image\n"}
    config = ImageConfig(
        cmd=["sh", "-c", "echo default command"], env=["PATH=/bin", "FLAVOUR=plain"], working_dir="/srv"
    )
    return write_archive(tmp_path_factory.mktemp("images") / "box.tar", BOX, files, config)
