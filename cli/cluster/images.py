"""Images of the local cluster: built here from a static busybox, loaded into every node's engine. No registry."""

import asyncio
import time
from pathlib import Path

from cli.cluster.layout import Layout
from node.engine.base import Engine, EngineError
from node.engine.imagebuild import BUSYBOX, ImageConfig, busybox_root, write_archive

SAMPLE_IMAGE = "timonier/hello:1"
ENGINE_TIMEOUT_S = 60.0
POLL_S = 0.1
# Enough to serve, to look around and to test with; the full list would only make the image slower to read.
APPLETS = (
    *("sh", "ash", "cat", "cp", "date", "dd", "df", "echo", "env", "false", "grep", "head", "hostname", "httpd", "id"),
    *("ip", "kill", "ln", "ls", "mkdir", "mount", "mv", "nc", "nslookup", "ping", "ps", "pwd", "rm", "sed", "seq"),
    *("sleep", "stat", "stty", "sync", "tail", "tar", "tee", "test", "top", "touch", "tr", "true", "tty", "uname"),
    *("vi", "wc", "wget", "which", "whoami", "xargs", "yes"),
)


def write_sample_image(layout: Layout) -> Path:
    """The sample's image as an archive that `docker load` understands."""
    files = busybox_root(BUSYBOX.read_bytes(), APPLETS)
    config = ImageConfig(cmd=["/bin/sh"], env=["PATH=/bin"])
    return write_archive(layout.home / "hello.tar", SAMPLE_IMAGE, files, config)


async def load_image(layout: Layout, node: str, archive: Path) -> None:
    """Loads an archive into one node's engine, waiting for an engine that is still starting."""
    engine = _engine(layout, node)
    deadline = time.monotonic() + ENGINE_TIMEOUT_S
    try:
        while True:
            try:
                if await engine.image_status(SAMPLE_IMAGE) is None:
                    await engine.load_image(str(archive))
                return
            except EngineError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(POLL_S)
    finally:
        await engine.close()


def _engine(layout: Layout, node: str) -> Engine:
    socket = str(layout.engine_socket(node))
    # Imported here, as the kubelet does: a machine with one engine need not have the other's library.
    if layout.engine == "docker":
        from node.engine.docker import DockerEngine

        return DockerEngine(socket)
    from node.engine.embedded import EmbeddedEngine

    return EmbeddedEngine(socket)
