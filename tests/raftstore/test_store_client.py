"""The client against one real member: every call, and how it recovers."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from raftstore_cluster import Cluster, running

from raftstore.client import Compare, Delete, DeletePrefix, Get, Put, StoreClient
from raftstore.connection import Connection, ConnectionLost
from raftstore.errors import Compacted, FutureRevision, InvalidArgument, TooLarge, Unavailable
from raftstore.protocol import MAX_REQUEST_BYTES, WatchEvent


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with running(tmp_path_factory.mktemp("member"), 1) as cluster:
        yield cluster


def with_client(cluster: Cluster, scenario: Callable[[StoreClient], Awaitable[None]]) -> None:
    async def run() -> None:
        client = cluster.client(timeout_s=15)
        try:
            await client.delete_prefix("/")
            await scenario(client)
        finally:
            await client.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_keys_are_put_read_and_deleted(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        assert await client.get("/a") is None
        first = await client.put("/a", b"1")
        second = await client.put("/a", b"2")
        assert second.revision == first.revision + 1
        kv = await client.get("/a")
        assert kv is not None
        assert (kv.value, kv.create_revision, kv.mod_revision, kv.version) == (b"2", first.revision, second.revision, 2)
        old = await client.get("/a", revision=first.revision)
        assert old is not None and old.value == b"1"
        assert await client.delete("/a") == kv
        assert await client.delete("/a") is None
        assert await client.current_revision() == second.revision + 1
        with pytest.raises(FutureRevision):
            await client.get("/a", revision=second.revision + 100)

    with_client(member, scenario)


def test_ranges_are_limited_continued_and_larger_than_a_frame(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        value = bytes(300_000)
        await asyncio.gather(*(client.put(f"/k/{number:02}", value) for number in range(40)))
        everything = await client.range("/k/")
        assert [kv.key for kv in everything.kvs] == [f"/k/{number:02}" for number in range(40)]
        assert (everything.count, everything.more) == (40, False)
        page = await client.range("/k/", limit=30)
        assert (len(page.kvs), page.count, page.more) == (30, 40, True)
        await client.put("/k/35", b"later")
        rest = await client.range("/k/", start_key=page.kvs[-1].key + "\0", revision=page.revision)
        assert [len(kv.value) for kv in rest.kvs] == [300_000] * 10

    with_client(member, scenario)


def test_transactions_give_a_result_for_each_operation(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        await client.put("/t/a", b"1")
        result = await client.txn(
            [Compare("/t/a", "value", "==", b"1")], [Put("/t/b", b"2"), Get("/t/b"), Delete("/t/a"), Delete("/t/x")]
        )
        assert result.succeeded
        assert result.results[0] is None and result.results[3] is None
        read, deleted = result.results[1], result.results[2]
        assert not isinstance(read, int) and read is not None and read.mod_revision == result.revision
        assert not isinstance(deleted, int) and deleted is not None and deleted.value == b"1"
        refused = await client.txn([Compare("/t/b", "mod", "==", 0)], [Put("/t/b", b"")], [Get("/t/b")])
        assert not refused.succeeded and refused.results == [read]
        assert (await client.txn([], [DeletePrefix("/t/")])).results == [1]

    with_client(member, scenario)


def test_requests_without_sense_are_refused(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        with pytest.raises(InvalidArgument):
            await client.put("", b"")
        with pytest.raises(InvalidArgument):
            await client.put("/a", b"", lease=12345)
        with pytest.raises(InvalidArgument):
            await client.lease_keepalive(12345)
        with pytest.raises(TooLarge):
            await client.put("/a", bytes(MAX_REQUEST_BYTES + 1))
        with pytest.raises(FutureRevision):
            await client.compact(10**9)

    with_client(member, scenario)


def test_a_watch_starts_in_the_past_and_goes_on_into_the_future(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        start = (await client.put("/w/1", b"a")).revision
        await client.put("/elsewhere", b"")
        events: list[WatchEvent] = []
        progress = asyncio.Event()

        async def watch() -> None:
            async for batch in client.watch("/w/", start_revision=start):
                events.extend(batch.events)
                if not batch.events:
                    assert batch.revision >= start
                    progress.set()
                if any(event.type == "DELETE" for event in batch.events):
                    return

        watching = asyncio.create_task(watch())
        await asyncio.wait_for(progress.wait(), 10)
        await client.txn([], [Put("/w/1", b"b"), Put("/w/2", b"c")])
        await client.delete("/w/1")
        await asyncio.wait_for(watching, 10)
        told = [(e.type, e.kv.key, e.kv.value, e.prev_kv.value if e.prev_kv else None) for e in events]
        assert told == [
            ("PUT", "/w/1", b"a", None),
            ("PUT", "/w/1", b"b", b"a"),
            ("PUT", "/w/2", b"c", None),
            ("DELETE", "/w/1", b"", b"b"),
        ]

    with_client(member, scenario)


def test_a_slow_watcher_gets_everything_and_disturbs_nobody(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        start = await client.current_revision() + 1
        watch = client.watch("/big/", start_revision=start, with_previous=False)
        for number in range(60):
            await client.put("/big/value", b"%04d" % number + bytes(500_000))
        seen: list[int] = []
        async for batch in watch:
            seen += [int(event.kv.value[:4]) for event in batch.events]
            if seen[-1:] == [59]:
                break
        assert seen == list(range(60))

    with_client(member, scenario)


def test_history_that_was_compacted_is_refused_to_reads_and_watches(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        first = (await client.put("/c", b"1")).revision
        second = (await client.put("/c", b"2")).revision
        await client.compact(second)
        with pytest.raises(Compacted) as compacted:
            await client.range("/", revision=first)
        assert compacted.value.compact_revision == second
        with pytest.raises(Compacted):
            async for _ in client.watch("/", start_revision=first):
                pass
        kv = await client.get("/c", revision=second)
        assert kv is not None and kv.value == b"2"

    with_client(member, scenario)


def test_a_lease_keeps_keys_only_while_it_is_kept_alive(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        kept, dying = await client.lease_grant(0.8), await client.lease_grant(0.8)
        await client.put("/lease/kept", b"", lease=kept)
        await client.put("/lease/dying", b"", lease=dying)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + 15
        gone_at = 0.0
        while loop.time() < deadline_s and not gone_at:
            await client.lease_keepalive(kept)
            if await client.get("/lease/dying") is None:
                gone_at = loop.time()
        assert gone_at
        assert await client.get("/lease/kept") is not None
        await client.lease_revoke(kept)
        assert await client.get("/lease/kept") is None

    with_client(member, scenario)


def test_status_tells_role_and_progress(member: Cluster) -> None:
    async def scenario(client: StoreClient) -> None:
        revision = (await client.put("/s", b"")).revision
        status = await client.status()
        assert (status.name, status.role, status.leader, status.members) == ("m0", "leader", "m0", ["m0"])
        assert status.revision == revision and status.applied_index <= status.commit_index

    with_client(member, scenario)


def test_a_client_survives_a_restart_of_its_member(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        client = cluster.client(timeout_s=15)
        await client.put("/a", b"1")
        seen: list[bytes] = []

        async def watch() -> None:
            async for batch in client.watch("/a", start_revision=2):
                seen.extend(event.kv.value for event in batch.events)
                if len(seen) == 3:
                    return

        watching = asyncio.create_task(watch())
        await client.put("/a", b"2")
        cluster.kill("m0")
        cluster.start("m0")
        await client.put("/a", b"3")
        await asyncio.wait_for(watching, 10)
        assert seen == [b"1", b"2", b"3"]
        await client.close()
        with pytest.raises(Unavailable):
            await client.get("/a")

    with running(tmp_path, 1) as cluster:
        asyncio.run(scenario(cluster))


def test_nobody_to_talk_to_is_unavailable_in_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        client = StoreClient([f"unix:{tmp_path}/none.sock"], timeout_s=0.3)
        with pytest.raises(Unavailable):
            await client.put("/a", b"")
        with pytest.raises(Unavailable):
            await client.get("/a")

    asyncio.run(scenario())


def test_a_connection_to_a_member_that_does_not_read_can_be_given_up(tmp_path: Path) -> None:
    """A stopped process takes nothing in: what is still to be sent must not hold the client to it."""

    async def scenario() -> None:
        path = str(tmp_path / "store.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, path)
            answer = connection.request(lambda number: bytes(MAX_REQUEST_BYTES))
            await asyncio.sleep(0)
            connection.close()
            with pytest.raises(ConnectionLost):
                await answer
            assert connection.is_lost

    asyncio.run(asyncio.wait_for(scenario(), 10))
