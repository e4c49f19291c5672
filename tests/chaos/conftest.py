"""Fixtures of the chaos tests."""

import os
from collections.abc import Iterator

import pytest
from chaos_lab import LabFabric, lab


@pytest.fixture
def fabric() -> Iterator[LabFabric]:
    if os.geteuid() != 0:
        pytest.skip("namespaces and cgroups need root")
    with lab("m1", "n1", "n2") as made:
        yield made
