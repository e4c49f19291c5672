"""Images of the local cluster: built here from a static busybox, loaded into every node's engine. No registry."""

from pathlib import Path

from cli.cluster.layout import Layout

SAMPLE_IMAGE = "timonier/hello:1"


def write_sample_image(layout: Layout) -> Path:
    """The sample's image as an archive that `docker load` understands."""
    raise RuntimeError(layout)


async def load_image(layout: Layout, node: str, archive: Path) -> None:
    """Loads an archive into one node's engine."""
    raise RuntimeError(layout, node, archive)
