"""One laboratory for all integration tests of the kubelet: starting it costs more than using it."""

import os
import shutil
from collections.abc import Iterator

import pytest
from node_lab import NodeLab


@pytest.fixture(scope="session")
def node_lab() -> Iterator[NodeLab]:
    installed = "docker" if shutil.which("dockerd") else "embedded"
    lab = NodeLab(os.environ.get("TIMONIER_TEST_RUNTIME", installed))
    try:
        lab.open()
        yield lab
    finally:
        lab.close()
