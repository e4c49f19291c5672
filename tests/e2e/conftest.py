"""One real cluster for all end-to-end tests: three masters, three nodes, the Docker engine, unmodified kubectl."""

import os
import shutil
from collections.abc import Iterator

import pytest
from e2e_cluster import NAME, NETWORK, PORT, UP_TIMEOUT_S, Cluster, remove


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, started once; taken down by the last test file, or here when that did not happen."""
    if os.geteuid() != 0 or shutil.which("kubectl") is None or shutil.which("dockerd") is None:
        pytest.fail("end-to-end tests need root, kubectl and dockerd: run `make test`, which installs them")
    cluster = Cluster(NAME)
    remove(cluster)
    arguments = ["up", "--cluster", NAME, "--runtime", "docker", "--network", str(NETWORK), "--port", str(PORT)]
    try:
        print(cluster.timonier(*arguments, timeout_s=UP_TIMEOUT_S).out)
        cluster.use_kubeconfig(tmp_path_factory.mktemp("kube"))
        yield cluster
    finally:
        remove(cluster)
