"""Three real members over loopback with TLS, and what a machine room does to them."""

import asyncio
import signal
import ssl
import time
from pathlib import Path

import msgspec
import pytest
from raftstore_cluster import Cluster, Writers, eventually, running, socket_mode

from raftstore.client import Compare, Fence, Get, Put, StoreClient
from raftstore.errors import Fenced, OutcomeUnknown, Unavailable
from raftstore.frames import Write, framed
from raftstore.protocol import Proposal, PutResult, Txn, TxnResult
from raftstore.raft.messages import ENCODER, Hello


async def same_state(cluster: Cluster) -> None:
    """Every member has applied the same."""

    async def equal() -> bool:
        found = [await cluster.status(name) for name in cluster.names]
        facts = {(status.applied_index, status.revision, status.key_count) for status in found if status is not None}
        return None not in found and len(facts) == 1

    await eventually(equal)


def test_killing_the_leader_under_load_loses_nothing_and_writes_resume(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = await cluster.leader()
        survivors = [name for name in cluster.names if name != leader]
        client = cluster.client(*survivors)
        writers = Writers(client, 8)
        await writers.reached(200)
        writers.longest_gap_s = 0.0
        cluster.kill(leader)
        await writers.reached(200)
        await writers.stop()
        await writers.check(client)
        assert writers.longest_gap_s < 2.5
        cluster.start(leader)
        await same_state(cluster)
        await client.close()

    with running(tmp_path, tls=True) as cluster:
        asyncio.run(scenario(cluster))


def test_killing_everything_at_once_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    async def round_(cluster: Cluster) -> None:
        await cluster.leader()
        client = cluster.client()
        writers = Writers(client, 8)
        await writers.reached(150)
        cluster.kill()
        writers.cancel()
        await client.close()
        cluster.start()
        await cluster.leader()
        client = cluster.client()
        await writers.check(client)
        await client.close()
        await same_state(cluster)

    tuning = {"snapshot_every_entries": 40, "tail_entries": 10}
    with running(tmp_path, tls=True, tuning=tuning) as cluster:
        for _ in range(2):
            asyncio.run(round_(cluster))


def test_a_lagging_follower_catches_up_from_the_log_and_by_a_snapshot(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = await cluster.leader()
        lagging = next(name for name in cluster.names if name != leader)
        client = cluster.client(leader)
        cluster.kill(lagging)
        for number in range(5):
            await client.put(f"/few/{number}", b"x")
        cluster.start(lagging)
        await same_state(cluster)
        assert "installed the snapshot" not in cluster.log(lagging)
        cluster.kill(lagging)
        for number in range(150):
            await client.put(f"/many/{number}", b"x" * 100)
        lease = await client.lease_grant(60)
        await client.put("/leased", b"", lease=lease)
        cluster.start(lagging)
        await same_state(cluster)
        assert "installed the snapshot" in cluster.log(lagging)
        local = cluster.client(lagging)
        assert (await local.range("/many/", linearizable=False)).count == 150
        assert (await local.range("/many/", revision=50, linearizable=False)).count == 44
        await local.lease_revoke(lease)
        assert await local.get("/leased") is None
        await local.close()
        await client.close()

    with running(tmp_path, tls=True, tuning={"snapshot_every_entries": 40, "tail_entries": 10}) as cluster:
        asyncio.run(scenario(cluster))


def test_a_watch_sees_every_event_in_order_over_a_change_of_leader(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = await cluster.leader()
        client = cluster.client(leader, *(name for name in cluster.names if name != leader))
        seen: list[tuple[int, str, bytes]] = []
        finished = asyncio.Event()

        async def watch() -> None:
            async for batch in client.watch("/load/", start_revision=1):
                for event in batch.events:
                    assert event.kv.mod_revision <= batch.revision
                    seen.append((event.kv.mod_revision, event.kv.key, event.kv.value))
                    if event.kv.key == "/load/end":
                        finished.set()
                        return

        watching = asyncio.create_task(watch())
        writers = Writers(client, 4)
        await writers.reached(100)
        cluster.kill(leader)
        await writers.reached(100)
        await writers.stop()
        await client.put("/load/end", b"")
        await asyncio.wait_for(finished.wait(), 20)
        await watching
        revisions = [revision for revision, _, _ in seen]
        assert revisions == sorted(set(revisions))
        for number in range(4):
            values = [int(value) for _, key, value in seen if key == f"/load/{number}"]
            assert values == sorted(set(values))  # each once, in order: a repetition would show twice
            assert set(range(1, writers.acknowledged[number] + 1)) <= set(values) | missing(writers, number, values)
        final = await client.get("/load/end")
        assert final is not None
        assert revisions == list(range(2, final.mod_revision + 1))
        await client.close()

    def missing(writers: Writers, number: int, values: list[int]) -> set[int]:
        """Attempts that were answered as not applied."""
        return set(range(1, writers.attempted[number] + 1)) - set(values)

    with running(tmp_path, tls=True) as cluster:
        asyncio.run(scenario(cluster))


def test_a_stopped_leader_serves_no_stale_linearizable_read_when_it_goes_on(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        old = await cluster.leader()
        others = [name for name in cluster.names if name != old]
        stale_side, client = cluster.client(old, timeout_s=10), cluster.client(*others)
        await client.put("/x", b"old")
        await stale_side.get("/x")
        cluster.signal(old, signal.SIGSTOP)
        reads = [asyncio.create_task(stale_side.get("/x")) for _ in range(20)]
        writes = [asyncio.create_task(stale_side.put(f"/late/{n}", b"")) for n in range(5)]
        await cluster.leader(*others)
        assert isinstance(await client.put("/x", b"new"), PutResult)
        cluster.signal(old, signal.SIGCONT)
        for _ in range(20):
            reads.append(asyncio.create_task(stale_side.get("/x")))
            await asyncio.sleep(0)
        for kv in await asyncio.gather(*reads[20:]):
            assert kv is not None and kv.value == b"new"
        # Those begun before the new value was written may see either; all are answered.
        for kv in await asyncio.gather(*reads[:20]):
            assert kv is not None and kv.value in (b"old", b"new")
        await asyncio.gather(*writes)
        assert (await client.range("/late/")).count == 5
        await stale_side.close()
        await client.close()

    with running(tmp_path, tls=True) as cluster:
        asyncio.run(scenario(cluster))


def test_a_repeated_write_is_applied_once_and_a_fenced_one_is_refused(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = await cluster.leader()
        follower = next(name for name in cluster.names if name != leader)
        client = cluster.client(follower)
        await client.put("/opens-the-session", b"")
        # The very same frame a second and a third time, through different members.
        proposal = Proposal(client._session, 1000, 0, Txn([], [Put("/once", b"1")]))
        answers = []
        for name in (follower, leader, follower):
            other = cluster.client(name)
            connection = await other._connected()
            encoded = msgspec.Raw(msgspec.msgpack.encode(proposal))
            raw = await connection.request(lambda number, e=encoded: msgspec.msgpack.encode(Write(number, e)))
            answers.append(msgspec.msgpack.decode(raw, type=TxnResult))
            await other.close()
        assert answers[0] == answers[1] == answers[2]
        kv = await client.get("/once")
        assert kv is not None and kv.version == 1

        await client.txn([], [Put("/fenced", b"5")], fence=Fence("scheduler", 5))
        with pytest.raises(Fenced):
            await client.txn([], [Put("/fenced", b"4")], fence=Fence("scheduler", 4))
        kv = await client.get("/fenced")
        assert kv is not None and kv.value == b"5"

        await client.close()

    with running(tmp_path) as cluster:
        asyncio.run(scenario(cluster))


def test_compare_and_swap_through_every_member_counts_each_success_once(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        clients = [cluster.client(name) for name in cluster.names]
        await clients[0].put("/counter", b"0")

        async def count_up(client: StoreClient, times: int) -> None:
            while times:
                kv = await client.get("/counter")
                assert kv is not None
                new = b"%d" % (int(kv.value) + 1)
                compare = Compare("/counter", "mod", "==", kv.mod_revision)
                times -= (await client.txn([compare], [Put("/counter", new)], [Get("/counter")])).succeeded

        await asyncio.gather(*(count_up(client, 5) for client in clients * 2))
        kv = await clients[1].get("/counter")
        assert kv is not None and kv.value == b"30"
        for client in clients:
            await client.close()

    with running(tmp_path) as cluster:
        asyncio.run(scenario(cluster))


def test_a_minority_acknowledges_nothing_and_serves_only_old_reads(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = await cluster.leader()
        client = cluster.client(leader, timeout_s=1.5)
        await client.put("/before", b"")
        for name in cluster.names:
            if name != leader:
                cluster.kill(name)
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await client.put("/after", b"")
        with pytest.raises(Unavailable):
            await client.get("/before")
        kv = await client.get("/before", linearizable=False)
        assert kv is not None
        cluster.start(*(name for name in cluster.names if name != leader))
        patient = cluster.client(timeout_s=20)
        await patient.put("/healed", b"")
        await patient.close()
        await client.close()

    with running(tmp_path) as cluster:
        asyncio.run(scenario(cluster))


def test_a_planned_stop_hands_leadership_over(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = await cluster.leader()
        survivors = [name for name in cluster.names if name != leader]
        client = cluster.client(*survivors)
        await client.put("/a", b"")
        started_s = time.monotonic()
        assert await asyncio.to_thread(cluster.stop, leader) == 0
        await client.put("/b", b"")
        assert time.monotonic() - started_s < 3.0
        assert any("handed over" in cluster.log(name) for name in survivors)
        await client.close()

    with running(tmp_path) as cluster:
        asyncio.run(scenario(cluster))


async def talk(port: int, context: ssl.SSLContext | None, payload: bytes) -> bytes:
    """Say something on a peer port; what comes back before the other side hangs up."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(payload)
        await writer.drain()
        data = await asyncio.wait_for(reader.read(100), 5)
        writer.close()
        return data
    except (OSError, ssl.SSLError):
        return b""


def test_strangers_and_impostors_are_turned_away(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = await cluster.leader()
        port = int(cluster.peers[leader].rpartition(":")[2])
        impostor = next(name for name in cluster.names if name != leader)
        other = next(name for name in cluster.names if name not in (leader, impostor))
        greeting = framed(ENCODER.encode(Hello(other, 1)))
        assert await talk(port, None, greeting) == b""  # no TLS
        anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anonymous.check_hostname, anonymous.verify_mode = False, ssl.CERT_NONE
        assert await talk(port, anonymous, greeting) == b""  # no certificate
        tls = tmp_path / "tls"
        anonymous.load_cert_chain(tls / f"{impostor}.crt", tls / f"{impostor}.key")
        assert await talk(port, anonymous, greeting) == b""  # another member's name
        assert await talk(port, anonymous, b"\xff\xff\xff\x7f") == b""  # an endless frame
        await eventually_logged(cluster, leader, f"the certificate is of '{impostor}', not of '{other}'")
        await eventually_logged(cluster, leader, "is too long")
        client = cluster.client()
        await client.put("/still", b"here")
        await client.close()

    async def eventually_logged(cluster: Cluster, name: str, text: str) -> None:
        async def logged() -> bool:
            return text in cluster.log(name)

        await eventually(logged)

    with running(tmp_path, tls=True) as cluster:
        asyncio.run(scenario(cluster))


def test_a_damaged_journal_stops_the_member_with_file_and_offset(tmp_path: Path) -> None:
    async def fill(cluster: Cluster) -> None:
        client = cluster.client(timeout_s=20)
        for number in range(5):
            await client.put(f"/{number}", b"x" * 50)
        await client.close()

    with running(tmp_path, 1) as cluster:
        asyncio.run(fill(cluster))
        assert socket_mode(cluster.socket("m0")) == 0o600
        cluster.kill("m0")
        (segment,) = (tmp_path / "m0" / "journal").glob("*.wal")
        data = bytearray(segment.read_bytes())
        data[60] ^= 1
        segment.write_bytes(data)
        cluster.start("m0")
        assert cluster.processes["m0"].wait(20) == 3
        assert str(segment) in cluster.log("m0") and "offset" in cluster.log("m0")
