"""The agent's small parts: incremental state, batching of changes, kernel settings, configuration."""

import asyncio
import json
from pathlib import Path

import pytest
from proxy_lab import CLUSTER_CIDR, PODS, make_service, make_slice

from master.api.core.service import Service
from master.api.discovery.endpointslice import EndpointSlice
from master.client.config import ClientConfig
from master.client.rest import RestClient
from proxy import agent
from proxy.batching import ChangeBatch
from proxy.compile import assemble
from proxy.config import ProxyConfig, load_config
from proxy.conntrack import Frontends
from proxy.state import ServiceState
from proxy.sysctls import WANTED, apply_sysctls

KEY = "default/web"


def refresh(state: ServiceState, service: Service | None, *slices: EndpointSlice) -> bool:
    return state.refresh([KEY], lambda _: service, lambda _: list(slices))


def test_only_what_touches_rules_counts_as_a_change() -> None:
    state = ServiceState("node-1", CLUSTER_CIDR)
    assert refresh(state, make_service(), make_slice(PODS["pod1"]))
    relabelled = make_service()
    relabelled.metadata.labels["new"] = "label"
    assert not refresh(state, relabelled, make_slice(PODS["pod1"]))
    assert refresh(state, relabelled, make_slice(PODS["pod2"]))


def test_a_removed_or_headless_service_leaves_nothing() -> None:
    state = ServiceState("node-1", CLUSTER_CIDR)
    for last in (None, make_service(cluster_ip="None")):
        refresh(state, make_service(), make_slice(PODS["pod1"]))
        assert refresh(state, last)
        assert state.ruleset() == assemble([]) and state.mappings() == []
        assert not refresh(state, last)


def test_changes_that_come_together_make_one_batch() -> None:
    async def scenario() -> None:
        batch, loop = ChangeBatch(quiet_s=0.05, patience_s=5), asyncio.get_running_loop()
        for number in range(10):
            loop.call_later(number * 0.005, batch.add, f"k{number}")
        assert await batch.take(5) == {f"k{number}" for number in range(10)}
        assert await batch.take(0.01) == frozenset()

    asyncio.run(scenario())


def test_a_storm_does_not_hold_changes_back_for_long() -> None:
    async def scenario() -> None:
        batch, loop = ChangeBatch(quiet_s=0.1, patience_s=0.2), asyncio.get_running_loop()

        async def storm() -> None:
            while True:
                batch.add("k")
                await asyncio.sleep(0.01)

        task = asyncio.create_task(storm())
        started = loop.time()
        assert await batch.take(5) == {"k"}
        assert 0.15 < loop.time() - started < 2
        task.cancel()

    asyncio.run(scenario())


def test_settings_that_differ_are_set_and_missing_ones_do_no_harm(tmp_path: Path) -> None:
    assert apply_sysctls(tmp_path) == []
    for name in WANTED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("0\n")
    assert apply_sysctls(tmp_path) == list(WANTED)
    assert apply_sysctls(tmp_path) == []


def test_the_configuration_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "proxy.json"
    content = {
        "node_name": "node-1",
        "address": "10.90.0.11",
        "client": {"servers": ["https://10.90.0.21:6443"], "ca_file": "ca", "cert_file": "c", "key_file": "k"},
        "cluster_cidr": CLUSTER_CIDR,
        "service_cidr": "10.96.0.0/16",
        "dns": {"address": "10.96.0.10", "domain": "cluster.local", "upstreams": []},
    }
    file.write_text(json.dumps(content))
    config = load_config(file)
    assert config.dns and config.dns.address == "10.96.0.10" and config.client.cert_file == "c"
    file.write_text(json.dumps({**content, "dns": None}))
    assert load_config(file).dns is None
    file.write_text("{}")
    with pytest.raises(ValueError, match="node_name"):
        load_config(file)


def test_flows_to_a_service_that_is_gone_are_forgotten_even_if_the_kernel_failed_to_answer_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Frontends] = []

    def forget(frontends: Frontends, node_address: str) -> int:
        asked.append(frontends)
        if len(asked) == 1:
            raise TimeoutError("the kernel is busy")
        return 0

    monkeypatch.setattr(agent, "forget_stale_flows", forget)
    config = ProxyConfig(
        node_name="n",
        address="10.90.0.11",
        client=ClientConfig(servers=["http://127.0.0.1:1"]),
        cluster_cidr=CLUSTER_CIDR,
        service_cidr="10.96.0.0/16",
    )

    async def body() -> None:
        client = RestClient(config.client, user_agent="test")
        proxy = agent.ProxyAgent(config, client, None)  # type: ignore[arg-type]
        proxy._frontends = Frontends({("udp", ("10.96.0.5", 53)): frozenset()}, {})
        with pytest.raises(TimeoutError):
            await proxy._forget_flows(asyncio.get_running_loop())
        for _ in range(2):
            await proxy._forget_flows(asyncio.get_running_loop())
        assert [len(each.addresses) for each in asked] == [1, 1, 0]
        proxy._worker.shutdown()
        await client.close()

    asyncio.run(body())
