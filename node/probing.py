"""One probe or lifecycle hook, carried out once: exec, httpGet, tcpSocket, grpc. Runs in the node's own network."""

import asyncio
from collections.abc import Sequence

import aiohttp
import msgspec

from master.api.core.container import (
    Container,
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    LifecycleHandler,
    Probe,
    TCPSocketAction,
)
from node.engine.base import Engine
from node.grpchealth import check_health

MAX_OUTPUT_BYTES = 10 * 1024
"""Of a probe's output this much is kept (upstream's bound)."""
USER_AGENT = "kube-probe/1.36"
KEPT_BODY_BYTES = 1024


class ProbeOutcome(msgspec.Struct, frozen=True):
    ok: bool
    output: str = ""


async def run_probe(
    probe: Probe, container: Container, container_id: str, pod_ip: str, engine: Engine, timeout_s: float
) -> ProbeOutcome:
    """Never raises: whatever goes wrong is a failed probe."""
    try:
        async with asyncio.timeout(timeout_s):
            if probe.exec is not None:
                return await run_exec(probe.exec, container_id, engine)
            if probe.http_get is not None:
                return await _http_get(probe.http_get, container, pod_ip)
            if probe.tcp_socket is not None:
                return await _tcp(probe.tcp_socket, container, pod_ip)
            if probe.grpc is not None:
                return await _grpc(probe.grpc, pod_ip)
    except TimeoutError:
        if probe.exec is not None:
            return ProbeOutcome(False, f"command timed out after {timeout_s:g}s")
        return ProbeOutcome(False, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    except (OSError, aiohttp.ClientError, ValueError) as error:
        return ProbeOutcome(False, str(error) or type(error).__name__)
    except Exception as error:  # an engine's own error types are its own
        return ProbeOutcome(False, f"{type(error).__name__}: {error}")
    return ProbeOutcome(True)


async def run_hook(
    handler: LifecycleHandler, container: Container, container_id: str, pod_ip: str, engine: Engine
) -> None:
    """A postStart or preStop handler; raises when it fails."""
    if handler.exec is not None:
        outcome = await run_exec(handler.exec, container_id, engine)
    elif handler.http_get is not None:
        outcome = await _http_get(handler.http_get, container, pod_ip)
    elif handler.tcp_socket is not None:
        outcome = await _tcp(handler.tcp_socket, container, pod_ip)
    elif handler.sleep is not None:
        await asyncio.sleep(handler.sleep.seconds)
        return
    else:
        return
    if not outcome.ok:
        raise RuntimeError(outcome.output or "the handler failed")


async def run_exec(action: ExecAction, container_id: str, engine: Engine) -> ProbeOutcome:
    code, output = await exec_output(engine, container_id, action.command)
    return ProbeOutcome(code == 0, output)


async def exec_output(engine: Engine, container_id: str, command: Sequence[str]) -> tuple[int, str]:
    """Exit code and the beginning of what was written."""
    session = await engine.exec(container_id, list(command), tty=False, stdin=False)
    kept = bytearray()
    try:
        while (piece := await session.read()) is not None:
            _, data = piece
            kept += data[: max(0, MAX_OUTPUT_BYTES - len(kept))]
        return await session.wait(), kept.decode(errors="replace")
    finally:
        await session.close()


async def _http_get(action: HTTPGetAction, container: Container, pod_ip: str) -> ProbeOutcome:
    port = port_number(action.port, container)
    scheme, host, path = (action.scheme or "HTTP").lower(), action.host or pod_ip, action.path or "/"
    headers = [
        ("User-Agent", USER_AGENT),
        ("Accept", "*/*"),
        *((each.name, each.value) for each in action.http_headers),
    ]
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    # A connection of its own: a kept-alive one would go on working when the server accepts no new ones.
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=headers, allow_redirects=False) as response,
    ):
        body = await response.content.read(KEPT_BODY_BYTES)
        if 200 <= response.status < 400:
            return ProbeOutcome(True, body.decode(errors="replace"))
        return ProbeOutcome(False, f"HTTP probe failed with statuscode: {response.status}")


async def _tcp(action: TCPSocketAction, container: Container, pod_ip: str) -> ProbeOutcome:
    _, writer = await asyncio.open_connection(action.host or pod_ip, port_number(action.port, container))
    writer.close()
    return ProbeOutcome(True)


async def _grpc(action: GRPCAction, pod_ip: str) -> ProbeOutcome:
    served = await check_health(pod_ip, action.port, action.service or "")
    return ProbeOutcome(served, "" if served else "service unhealthy (responded with other than SERVING)")


def port_number(port: int | str | None, container: Container) -> int:
    """A number, a number in quotes, or the name of one of the container's ports."""
    if isinstance(port, int):
        return port
    if port is not None and port.isdecimal():
        return int(port)
    for declared in container.ports:
        if declared.name == port:
            return declared.container_port
    raise ValueError(f"couldn't find port {port!r} in the container")
