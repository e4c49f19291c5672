"""The verbs are tested against a real API server on loopback, with its store in memory."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "master" / "apiserver"))


@pytest.fixture(scope="session")
def timonier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The command with a kubeconfig for a server that lives as long as the tests."""
    from cli_harness import running_command

    with running_command(tmp_path_factory.mktemp("cli")) as command:
        yield command
