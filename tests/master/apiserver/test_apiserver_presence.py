"""Which servers stand in the endpoints of the Service `kubernetes`."""

import logging

import pytest
from apiserver_certificates import TestAuthority
from apiserver_harness import Caller, ServerThread, config_for, free_port, until
from apiserver_memory_store import MemoryStore

from master.apiserver import presence

ENDPOINTS = "/api/v1/namespaces/default/endpoints/kubernetes"


def test_only_addresses_that_others_can_reach_count() -> None:
    assert presence.reachable(["192.0.2.10", "192.0.2.9", "127.0.0.1", "192.0.2.9"]) == ["192.0.2.9", "192.0.2.10"]


def test_a_server_on_loopback_says_so_once(
    authority: TestAuthority,
    admin_identity: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(presence, "RECONCILE_S", 0.01)
    rounds: list[int] = []
    reachable = presence.reachable

    def counted(addresses: list[str]) -> list[str]:
        rounds.append(1)
        return reachable(addresses)

    monkeypatch.setattr(presence, "reachable", counted)
    thread = ServerThread(config_for(authority, free_port(), [], public="127.0.0.1"), MemoryStore())
    with caplog.at_level(logging.WARNING, "apiserver.presence"):
        thread.start()
        try:
            until(lambda: len(rounds) > 5, "some rounds")
            assert Caller(thread.config.port, authority, admin_identity).get(ENDPOINTS).code == 404
        finally:
            thread.stop()
    said = [record.getMessage() for record in caplog.records if record.name == "apiserver.presence"]
    assert len(said) == 1 and "127.0.0.1 is a loopback address" in said[0]
