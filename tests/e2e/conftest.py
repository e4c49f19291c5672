"""One real cluster for all end-to-end tests: three masters, three nodes, the Docker engine, unmodified kubectl."""

import os
import shutil
from collections.abc import Iterator

import pytest
from e2e_cluster import MEASURED, NAME, NETWORK, PORT, UP_TIMEOUT_S, Cluster, measured, remove


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, started once; taken down by the last test file, or here when that did not happen."""
    if os.geteuid() != 0 or shutil.which("kubectl") is None or shutil.which("dockerd") is None:
        pytest.fail("end-to-end tests need root, kubectl and dockerd: run `make test`, which installs them")
    cluster = Cluster(NAME)
    remove(cluster)
    arguments = ["up", "--cluster", NAME, "--runtime", "docker", "--network", str(NETWORK), "--port", str(PORT)]
    try:
        out = cluster.timonier(*arguments, timeout_s=UP_TIMEOUT_S).out
        measured(next(line for line in out.splitlines() if "is up after" in line))
        cluster.use_kubeconfig(tmp_path_factory.mktemp("kube"))
        yield cluster
    finally:
        remove(cluster)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The measured times, whether or not output was captured."""
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.write_line(line)
