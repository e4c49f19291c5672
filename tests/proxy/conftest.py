"""Fixtures of the proxy's tests."""

import os
from collections.abc import Iterator

import pytest
from proxy_lab import Lab, lab


@pytest.fixture(scope="session")
def node_lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    with lab() as made:
        for pod in ("pod1", "pod2", "pod3"):
            made.serve(pod)
        yield made
