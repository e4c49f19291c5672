"""One laboratory for all integration tests of the kubelet: starting it costs more than using it."""

import shutil
from collections.abc import Iterator

import pytest
from node_lab import NodeLab


@pytest.fixture(scope="session")
def node_lab() -> Iterator[NodeLab]:
    if shutil.which("dockerd") is None:
        pytest.skip("no Docker engine on this machine")
    lab = NodeLab("docker")
    try:
        lab.open()
        yield lab
    finally:
        lab.close()
