"""Fixtures of the API server's tests: certificates, one server in memory for all tests that do not break it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import ADMIN, Caller, Kubectl, ServerThread, config_for, free_port, until
from apiserver_memory_store import MemoryStore


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def admin_identity(authority: TestAuthority) -> tuple[str, str]:
    return authority.issue(ADMIN, ("system:masters",))


@pytest.fixture(scope="session")
def server(authority: TestAuthority) -> Iterator[ServerThread]:
    thread = ServerThread(config_for(authority, free_port(), []), MemoryStore())
    thread.start()
    anonymous = Caller(thread.config.port, authority, None)

    def ready() -> bool:
        try:
            return anonymous.get("/readyz").code == 200
        except OSError:
            return False

    try:
        until(ready, "readiness")
        yield thread
    finally:
        thread.stop()


@pytest.fixture(scope="session")
def admin(server: ServerThread, authority: TestAuthority, admin_identity: tuple[str, str]) -> Caller:
    return Caller(server.config.port, authority, admin_identity)


@pytest.fixture(scope="session")
def anonymous(server: ServerThread, authority: TestAuthority) -> Caller:
    return Caller(server.config.port, authority, None)


@pytest.fixture(scope="session")
def kubectl(
    server: ServerThread,
    authority: TestAuthority,
    admin_identity: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Kubectl:
    folder: Path = tmp_path_factory.mktemp("kubectl")
    return Kubectl(folder, server.config.port, authority, admin_identity)
