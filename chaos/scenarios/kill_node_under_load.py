"""A node loses its power while clients ask a Service on another node.

Measured from the cut: when the node counts as lost, when its pods have left the Service, when replacements are Ready
on other nodes; and which requests failed. Once the endpoints are clean, no request may fail any more. Then the node
gets its power back and has to become Ready. Bars: invariants L4, L5, L6 of a cluster with short timers.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from chaos.fabric import NETNS_DIR, Fabric, find_host
from chaos.faults.host import HostKill
from chaos.history import History
from chaos.netns import in_netns
from chaos.report import Measurement, Verdict, make_verdict, summarize
from chaos.scenarios.workload import Workload, WorkloadSpec
from chaos.traffic.http import HttpLoad, SocketFactory, http_get, plain_socket
from master.client.config import ClientConfig
from master.client.rest import RestClient

NAME = "kill-node-under-load"
POLL_S = 0.05
START_TIMEOUT_S = 90.0
PROXY_GRACE_S = 1.5  # from clean endpoints to rules in every kernel
RECOVERY_TIMEOUT_S = 60.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen; bars in seconds from the cut."""

    workload: WorkloadSpec = WorkloadSpec()
    victim: str = ""  # a node with pods of the workload, if empty
    from_node: str = ""  # send requests from inside this node's namespace; else from where we run
    rate_per_s: float = 50.0
    baseline_s: float = 3.0
    settle_s: float = 3.0
    endpoints_at_most_s: float = 10.0
    replaced_at_most_s: float = 15.0
    back_at_most_s: float = RECOVERY_TIMEOUT_S


class ScenarioFailed(Exception):
    """The scenario could not be played: the cluster was not fit for it."""


async def run(
    config: ClientConfig,
    fabric: Fabric,
    options: Options | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Verdict:
    """Plays the scenario; leaves the cluster as it was. Raises ScenarioFailed when it cannot begin."""
    chosen = options or Options()
    if not chosen.workload.namespace.startswith(f"{NAME}-"):
        unique = msgspec.structs.replace(chosen.workload, namespace=f"{NAME}-{secrets.token_hex(3)}")
        chosen = msgspec.structs.replace(chosen, workload=unique)
    client = RestClient(config, user_agent="timonier-chaos")
    try:
        async with Workload(client, chosen.workload).deployed() as workload:
            return await _Play(fabric, workload, chosen, say).run()
    finally:
        await client.close()


class _Play:
    """One performance."""

    def __init__(self, fabric: Fabric, workload: Workload, options: Options, say: Callable[[str], None]) -> None:
        self._fabric, self._workload, self._options, self._say = fabric, workload, options, say
        self._history = History(time.monotonic)
        self._cut_s = 0.0

    async def run(self) -> Verdict:
        victim, entry = await self._prepare()
        fault = HostKill(self._fabric, victim)
        healed = False
        try:
            async with self._load(entry):
                await asyncio.sleep(self._options.baseline_s)
                self._say(f"cutting the power of {victim}")
                self._cut_s = time.monotonic()
                await asyncio.to_thread(fault.arm)
                measurements = await self._observe(victim)
                await asyncio.sleep(self._options.settle_s)
            back = await self._heal(fault, victim)
            healed = True
        finally:
            if not healed:
                await asyncio.to_thread(fault.disarm)
        return self._judge(fault, [*measurements, *back])

    async def _prepare(self) -> tuple[str, str]:
        """The workload serves; a victim with pods on it, and an entry that will survive."""
        workload, wanted = self._workload, self._options.workload.replicas
        self._say(f"waiting for {wanted} pods in namespace {self._options.workload.namespace}")
        ready = await _reached(lambda: len(workload.ready_pods()) >= wanted, START_TIMEOUT_S)
        if ready is None:
            raise ScenarioFailed(f"{len(workload.ready_pods())} of {wanted} pods became Ready in {START_TIMEOUT_S} s")
        if await _reached(lambda: workload.ready_endpoints() >= wanted, START_TIMEOUT_S) is None:
            raise ScenarioFailed("the Service did not get its endpoints")
        candidates = [n for n in workload.ready_nodes() if workload.pods_on(n) and n != self._options.from_node]
        victim = self._options.victim or next(iter(candidates), "")
        others = [n for n in workload.ready_nodes() if n != victim]
        if victim not in workload.ready_nodes() or not others:
            raise ScenarioFailed(f"no node to kill while others go on: Ready are {workload.ready_nodes()}")
        entry = self._options.from_node or others[0]
        return victim, entry

    @contextlib.asynccontextmanager
    async def _load(self, entry: str) -> AsyncIterator[None]:
        """Requests to the entry node's port, once it answers at all."""
        target = (self._workload.node_address(entry), await self._workload.node_port())
        make_socket = self._socket_factory()

        async def answers() -> bool:
            with contextlib.suppress(OSError, ValueError, TimeoutError):
                async with asyncio.timeout(2):
                    return (await http_get(make_socket, target))[0] == 200
            return False

        deadline = time.monotonic() + START_TIMEOUT_S
        while not await answers():
            if time.monotonic() > deadline:
                raise ScenarioFailed(f"http://{target[0]}:{target[1]} does not answer")
            await asyncio.sleep(POLL_S)
        load = HttpLoad(self._history, *target, rate_per_s=self._options.rate_per_s, make_socket=make_socket)
        self._say(f"{self._options.rate_per_s:g} requests a second to http://{target[0]}:{target[1]}")
        task = asyncio.create_task(load.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _socket_factory(self) -> SocketFactory:
        if not self._options.from_node:
            return plain_socket
        path = NETNS_DIR / find_host(self._fabric, self._options.from_node).netns
        return lambda: in_netns(path, plain_socket)

    async def _observe(self, victim: str) -> list[Measurement]:
        """The three moments after the cut, each watched for by itself."""
        workload, options = self._workload, self._options

        async def moment(name: str, condition: Callable[[], bool], at_most: float | None) -> Measurement:
            at = await _reached(condition, RECOVERY_TIMEOUT_S)
            value = None if at is None else at - self._cut_s
            self._say(f"{name}: {'never' if value is None else f'{value:.1f} s'}")
            return Measurement(name, value, "s", at_most)

        def replaced() -> bool:
            alive = [p for p in workload.ready_pods() if p.spec.node_name != victim]
            return len(alive) >= options.workload.replicas

        found = await asyncio.gather(
            moment("node NotReady", lambda: not workload.is_node_ready(victim), options.endpoints_at_most_s),
            moment("endpoints clean", lambda: not workload.has_ready_endpoint_on(victim), options.endpoints_at_most_s),
            moment("replacements Ready", replaced, options.replaced_at_most_s),
        )
        return list(found)

    async def _heal(self, fault: HostKill, victim: str) -> list[Measurement]:
        self._say(f"power of {victim} on again")
        start_s = time.monotonic()
        await asyncio.to_thread(fault.disarm)
        at = await _reached(lambda: self._workload.is_node_ready(victim), RECOVERY_TIMEOUT_S)
        count = self._options.workload.replicas

        def settled() -> bool:
            """Pods of the node's former life are gone, and exactly as many are Ready as were asked for."""
            ready = len(self._workload.ready_pods())
            return ready == count and len(self._workload.pods.list()) == count

        clean_at = await _reached(settled, RECOVERY_TIMEOUT_S)
        at_most = self._options.back_at_most_s
        return [
            Measurement("node Ready again after power on", None if at is None else at - start_s, "s", at_most),
            Measurement("pods at their count", None if clean_at is None else clean_at - start_s, "s", at_most),
        ]

    def _judge(self, fault: HostKill, measurements: list[Measurement]) -> Verdict:
        operations = list(self._history)
        before = [o for o in operations if o.call_s < self._cut_s - self._options.baseline_s / 10]
        problems, notes = [], []
        early = [o for o in before if o.outcome != "ok" and o.return_s is not None and o.return_s < self._cut_s]
        if early:
            problems.append(f"{len(early)} requests failed before any fault, the first: {early[0].detail}")
        clean_s = next((m.value for m in measurements if m.name == "endpoints clean"), None)
        if clean_s is not None:
            late = [o for o in self._history.since(self._cut_s + clean_s + PROXY_GRACE_S) if o.outcome != "ok"]
            if late:
                when = f"from {late[0].call_s - self._cut_s:.1f} s to {late[-1].call_s - self._cut_s:.1f} s"
                what = f"{len(late)} requests failed after the endpoints were clean"
                problems.append(f"{what}, {when} after the cut: {late[0].detail}")
        failed = [o for o in self._history.since(self._cut_s) if o.outcome != "ok"]
        if failed:
            span = failed[-1].call_s - failed[0].call_s
            notes.append(f"{len(failed)} requests failed within {span:.1f} s, before the loss was known everywhere")
        return make_verdict(
            NAME,
            measurements,
            faults=[fault.describe()],
            problems=problems,
            load=summarize(operations),
            notes=notes if not problems else [],
        )


async def _reached(condition: Callable[[], bool], timeout_s: float) -> float | None:
    """The moment (monotonic) at which a condition is first seen to hold; None when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(POLL_S)
    return time.monotonic()
